"""PLY files, text or binary of either byte order: vertices with any scalar properties, and triangles.

The format: G. Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.point_files.columns import LONGEST_HEADER, Columns, header_number, numbers, table, typed
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_BYTE_ORDER = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
LONGEST_LIST = 1000  # values; more indicate damage
_CORNERS = ("vertex_indices", "vertex_index")  # names in use of a face's list


@dataclass(frozen=True)
class Property:
    """A property of an element: its type, and the type of its length if it is a list."""

    name: str
    dtype: str
    length: str | None = None


@dataclass(frozen=True)
class Element:
    """An element of the file: a table of `count` rows."""

    name: str
    count: int
    properties: tuple[Property, ...]

    @property
    def has_list(self) -> bool:
        return any(of.length for of in self.properties)


@dataclass(frozen=True)
class Header:
    """The parsed header; the first element begins at byte `size`."""

    byte_order: str
    elements: tuple[Element, ...]
    size: int


def read_ply(path: Path) -> Columns:
    """The properties of the vertices.

    Raises:
        UserError: the file is missing or damaged, or has no readable vertices.
    """
    content = read_bytes(path)
    return _vertices(path, content, _header(path, content))[0]


def read_mesh(path: Path) -> tuple[Columns, NDArray[np.int32]]:
    """The properties of the vertices, and the triangles [T, 3] as vertex indices, T = 0 without faces.

    Raises:
        UserError: as `read_ply`; or a face is not a triangle, or its vertex index is out of range.
    """
    content = read_bytes(path)
    header = _header(path, content)
    vertices, end = _vertices(path, content, header)
    index = next(row for row, element in enumerate(header.elements) if element.name == "vertex")
    if any(element.name == "face" for element in header.elements[:index]):
        raise UserError(f"{path}: element 'face' precedes 'vertex', expected a mesh with its vertices first")
    if len(header.elements) == index + 1:
        return vertices, np.empty((0, 3), np.int32)
    face = header.elements[index + 1]
    if face.name != "face":
        raise UserError(f"{path}: element {face.name!r} follows the vertices, expected 'face'")
    triangle = _triangles(path, content, header, face, end)
    count = header.elements[index].count
    if len(triangle) and not 0 <= triangle.min() <= triangle.max() < count:
        bad = next(int(row) for row in triangle.ravel() if not 0 <= row < count)
        raise UserError(f"{path}: a face has vertex index {bad}, expected 0 to {count - 1}")
    return vertices, triangle.astype(np.int32)


def _header(path: Path, content: bytes) -> Header:
    head, end, _ = content[:LONGEST_HEADER].partition(b"end_header")
    line_end = content.find(b"\n", len(head), len(head) + 16)
    if not content.startswith(b"ply") or not end or line_end < 0:
        raise UserError(f"{path}: has no PLY header, expected 'ply' to 'end_header'")
    byte_order, elements = None, list[tuple[str, int, list[Property]]]()
    for line in head.decode("latin-1").splitlines()[1:]:
        word = line.split()
        if not word or word[0] in ("comment", "obj_info"):
            continue
        if word[0] == "format" and len(word) == 3 and word[1] in _BYTE_ORDER:
            byte_order = _BYTE_ORDER[word[1]]
        elif word[0] == "element" and len(word) == 3:
            elements.append((word[1], header_number(path, f"element {word[1]!r}", word[2]), []))
        elif word[0] == "property" and len(word) in (3, 5) and elements:
            elements[-1][2].append(_property(path, word))
        else:
            raise UserError(f"{path}: unknown header line {line[:80]!r}")
    if byte_order is None:
        raise UserError(f"{path}: the header has no line 'format', expected {', '.join(_BYTE_ORDER)}")
    return Header(byte_order, tuple(Element(name, n, tuple(of)) for name, n, of in elements), line_end + 1)


def _property(path: Path, word: list[str]) -> Property:
    *kinds, name = word[1:]
    if len(kinds) == 3 and kinds[0] == "list" and kinds[1] in _TYPES and kinds[2] in _TYPES:
        if "f" not in _TYPES[kinds[1]]:
            return Property(name, _TYPES[kinds[2]], _TYPES[kinds[1]])
    elif len(kinds) == 1 and kinds[0] in _TYPES:
        return Property(name, _TYPES[kinds[0]])
    raise UserError(f"{path}: unknown type of the header's property {' '.join(word)[:80]!r}")


def _record(path: Path, header: Header, element: Element, list_length: int = 0) -> np.dtype:
    """One row of a binary element; lists have `list_length` values, preceded by the length."""
    fields: list[tuple] = []
    for of in element.properties:
        if of.length:
            fields.append((f"{of.name} length", header.byte_order + of.length))
            fields.append((of.name, header.byte_order + of.dtype, (list_length,)))
        else:
            fields.append((of.name, header.byte_order + of.dtype))
    if not fields or len({name for name, *_ in fields}) != len(fields):
        raise UserError(f"{path}: element {element.name!r} has no properties, or two of the same name")
    return np.dtype(fields)


def _vertices(path: Path, content: bytes, header: Header) -> tuple[Columns, int]:
    """The vertices' properties, and the byte (binary) or the line (text) after them."""
    start = 0 if not header.byte_order else header.size
    for element in header.elements:
        if element.has_list and not header.byte_order and element.name != "vertex":
            start += element.count  # one line each
            continue
        if header.byte_order:
            rows, end = _rows(path, content, header, element, start)
            columns = {of.name: rows[of.name] for of in element.properties if of.length is None}
        else:
            _record(path, header, element)  # rejects duplicate names
            lines = content[header.size :].split(b"\n", start + element.count)[start : start + element.count]
            scalars = [of for of in element.properties if of.length is None]
            if element.has_list:
                lines = [_without_lists(path, line, element) for line in lines]
            values = numbers(path, lines, len(scalars))
            _check_count(path, element, len(values))
            end = start + element.count
            columns = {of.name: typed(path, of.name, values[:, k], np.dtype(of.dtype)) for k, of in enumerate(scalars)}
        if element.name == "vertex":
            return columns, end
        start = end
    raise UserError(f"{path}: has no element 'vertex'")


def _without_lists(path: Path, line: bytes, element: Element) -> bytes:
    """A line of text without its lists, each a length and as many values."""
    words, at, kept = line.split(), 0, list[bytes]()
    for of in element.properties:
        if of.length is None:
            kept += words[at : at + 1]
            at += 1
        elif at < len(words) and words[at].isdigit() and int(words[at]) <= LONGEST_LIST:
            at += 1 + int(words[at])
        else:
            raise UserError(f"{path}: line {line[:40]!r} has no length of list {of.name!r}, up to {LONGEST_LIST}")
    if at != len(words):
        raise UserError(f"{path}: line {line[:40]!r} has {len(words)} numbers, expected {at}")
    return b" ".join(kept)


def _rows(path: Path, content: bytes, header: Header, element: Element, start: int) -> tuple[NDArray, int]:
    """The rows of a binary element as records, without lists of different lengths, and the byte after them."""
    if not element.has_list:
        rows = table(path, content, start, element.count, _record(path, header, element))
        return rows, start + rows.nbytes
    first = _record(path, header, element, 0)
    if not element.count:
        return np.empty(0, first), start
    lists = [of.name for of in element.properties if of.length]
    if len(lists) == 1:
        length = int(table(path, content, start, 1, first)[f"{lists[0]} length"][0])
        if not 0 <= length <= LONGEST_LIST:
            raise UserError(f"{path}: list {lists[0]!r} has {length} values, expected up to {LONGEST_LIST}")
        record = _record(path, header, element, length)
        if element.count * record.itemsize <= len(content) - start:
            rows = table(path, content, start, element.count, record)
            if (rows[f"{lists[0]} length"] == length).all():
                return rows, start + rows.nbytes
    return _uneven_rows(path, content, header, element, start)


def _uneven_rows(path: Path, content: bytes, header: Header, element: Element, start: int) -> tuple[NDArray, int]:
    """As `_rows` for lists of different lengths, row by row; the values of the lists are left out."""
    steps: list[
        tuple[np.dtype, str, int]
    ] = []  # scalar properties up to a list, its length and the size of one value, or None at the end
    fields: list[tuple[str, str]] = []
    for of in element.properties:
        fields.append((f"{of.name} length" if of.length else of.name, header.byte_order + (of.length or of.dtype)))
        if of.length:
            steps.append((np.dtype(fields), f"{of.name} length", np.dtype(of.dtype).itemsize))
            fields = []
    last, at = np.dtype(fields), start
    scalars = [(of.name, header.byte_order + of.dtype) for of in element.properties if of.length is None]
    rows = np.empty(element.count if element.count <= len(content) else 0, np.dtype(scalars))
    if len(rows) != element.count:
        table(path, content, start, element.count, np.dtype("u1"))  # reports a file that is cut off
    for number in range(element.count):
        for record, name, size in steps:
            values = table(path, content, at, 1, record)[0]
            length = int(values[name])
            if not 0 <= length <= LONGEST_LIST:
                raise UserError(f"{path}: list {name[:-7]!r} has {length} values, expected up to {LONGEST_LIST}")
            _keep(rows, number, record, values)
            at += record.itemsize + length * size
            if at > len(content):
                table(path, content, len(content), 1, record)
        if last.itemsize:
            _keep(rows, number, last, table(path, content, at, 1, last)[0])
            at += last.itemsize
    return rows, at


def _keep(rows: NDArray, number: int, record: np.dtype, values: np.void) -> None:
    """Copy the scalar properties of one row."""
    for name in record.names or ():
        if rows.dtype.names and name in rows.dtype.names:
            rows[name][number] = values[name]


def _triangles(path: Path, content: bytes, header: Header, face: Element, start: int) -> NDArray[np.int64]:
    lists = [of for of in face.properties if of.length]
    if len(lists) != 1 or lists[0].name not in _CORNERS or "f" in lists[0].dtype:
        raise UserError(f"{path}: element 'face' must have one list, 'vertex_indices' of whole numbers")
    corners = lists[0].name
    if header.byte_order:
        rows = table(path, content, start, face.count, _record(path, header, face, 3))
        length, triangle = rows[f"{corners} length"], rows[corners]
    else:
        column = [of.name for of in face.properties].index(corners)
        lines = content[header.size :].split(b"\n", start + face.count)[start : start + face.count]
        values = numbers(path, lines, len(face.properties) + 3)
        _check_count(path, face, len(values))
        length, triangle = values[:, column], values[:, column + 1 : column + 4]
    if (length != 3).any():
        raise UserError(f"{path}: a face has {int(length[length != 3][0])} corners, expected triangles")
    return triangle.astype(np.int64)


def _check_count(path: Path, element: Element, found: int) -> None:
    if found != element.count:
        raise UserError(f"{path}: holds {found} lines of {element.name!r}, but the header declares {element.count}")
