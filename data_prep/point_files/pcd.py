"""PCD files (Point Cloud Library) of version 0.7: ascii, binary and binary_compressed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.point_files.columns import LONGEST_HEADER, MOST_UNPACKED, Columns, header_number, numbers, table, typed
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

_KINDS = {"F": "f", "I": "i", "U": "u"}
_TYPES = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
_DATA = ("ascii", "binary", "binary_compressed")
PACKED = ("rgb", "rgba")  # names of packed colour fields
_MOST_NUMBERS = 10_000  # per point; more indicate damage


@dataclass(frozen=True)
class Field:
    """A field of a point: `count` numbers of one type."""

    name: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class Header:
    """The parsed header; the points begin at byte `size`."""

    fields: tuple[Field, ...]
    points: int
    data: str
    size: int


def read_pcd(path: Path) -> Columns:
    """The scalar fields; a packed colour (`rgb`, `rgba`) as red, green and blue.

    Raises:
        UserError: the file is missing or damaged, or unpacks to more than `MOST_UNPACKED` bytes.
    """
    content = read_bytes(path)
    header = _header(path, content)
    columns = {"ascii": _text, "binary": _binary, "binary_compressed": _compressed}[header.data](path, content, header)
    return {name: values for field, of in columns.items() for name, values in _unpacked(field, of).items()}


def _unpacked(name: str, values: NDArray) -> Columns:
    """The columns of a field: red, green and blue uint8 of a packed colour, else the field itself.

    The Point Cloud Library packs a colour as 0xrrggbb into 4 bytes, of type F, U or I in the header.
    """
    if name.lower() not in PACKED:
        return {name: values}
    kind = "<f4" if values.dtype.kind == "f" else "<u4"
    bits = values.astype(kind).view("<u4")
    return {color: (bits >> shift & 255).astype(np.uint8) for color, shift in (("red", 16), ("green", 8), ("blue", 0))}


def _header(path: Path, content: bytes) -> Header:
    entry: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in entry:
        end = content.find(b"\n", start, LONGEST_HEADER)
        if end < 0:
            raise UserError(f"{path}: has no PCD header, expected a line 'DATA'")
        word = content[start:end].decode("latin-1").split("#")[0].split()
        if word:
            entry[word[0]] = word[1:]
        start = end + 1
    for field in ("FIELDS", "SIZE", "TYPE", "POINTS", "DATA"):
        if not entry.get(field):
            raise UserError(f"{path}: the header has no {field}")
    names = entry["FIELDS"]
    for field in ("SIZE", "TYPE", "COUNT"):
        if len(entry.get(field, names)) != len(names):
            raise UserError(f"{path}: the header's {field} has {len(entry[field])} values for {len(names)} FIELDS")
    kinds = [_KINDS.get(kind, "?") + size for kind, size in zip(entry["TYPE"], entry["SIZE"], strict=True)]
    for name, kind in zip(names, kinds, strict=True):
        if kind not in _TYPES:
            raise UserError(
                f"{path}: TYPE and SIZE of field {name!r} are {kind!r}, expected one of {', '.join(_TYPES)}"
            )
    counts = [header_number(path, "COUNT", text) for text in entry.get("COUNT", ["1"] * len(names))]
    if sum(counts) > _MOST_NUMBERS or min(counts) < 1:
        raise UserError(f"{path}: a point has {sum(counts)} numbers, expected up to {_MOST_NUMBERS}")
    if entry["DATA"][0] not in _DATA:
        raise UserError(f"{path}: DATA is {entry['DATA'][0]!r}, expected one of {', '.join(_DATA)}")
    fields = tuple(Field(n, np.dtype("<" + k), c) for n, k, c in zip(names, kinds, counts, strict=True))
    return Header(fields, header_number(path, "POINTS", entry["POINTS"][0]), entry["DATA"][0], start)


def _text(path: Path, content: bytes, header: Header) -> Columns:
    lines = content[header.size :].split(b"\n", header.points)[: header.points]
    values = numbers(path, lines, sum(field.count for field in header.fields))
    if len(values) != header.points:
        raise UserError(f"{path}: holds {len(values)} points, but the header declares {header.points}")
    columns, column = Columns(), 0
    for field in header.fields:
        if field.count == 1:
            columns[field.name] = typed(path, field.name, values[:, column], field.dtype)
        column += field.count
    return columns


def _binary(path: Path, content: bytes, header: Header) -> Columns:
    record = np.dtype([(str(k), field.dtype, (field.count,)) for k, field in enumerate(header.fields)])
    rows = table(path, content, header.size, header.points, record)
    return {field.name: rows[str(k)][:, 0] for k, field in enumerate(header.fields) if field.count == 1}


def _compressed(path: Path, content: bytes, header: Header) -> Columns:
    """The fields are stored one after the other, as one LZF block preceded by its packed and unpacked size."""
    if len(content) < header.size + 8:
        raise UserError(f"{path}: the file ends before its points; the file is cut off: copy it again")
    packed, unpacked = (int(size) for size in np.frombuffer(content, "<u4", 2, header.size))
    promised = header.points * sum(field.dtype.itemsize * field.count for field in header.fields)
    if unpacked != promised or packed != min(packed, len(content) - header.size - 8):
        raise UserError(
            f"{path}: the compressed block has sizes {packed} and {unpacked} (unpacked), expected "
            f"{len(content) - header.size - 8} by the file's size and {promised} by the header"
        )
    if unpacked > MOST_UNPACKED:
        raise UserError(f"{path}: unpacks to {unpacked} bytes, expected at most {MOST_UNPACKED}")
    block = np.empty(unpacked, np.uint8)
    if _unpack(np.frombuffer(content, np.uint8, packed, header.size + 8), block) != unpacked:
        raise UserError(f"{path}: the compressed points are damaged; copy the file again")
    columns, start = Columns(), 0
    for field in header.fields:
        size = field.dtype.itemsize * field.count * header.points
        if field.count == 1:
            columns[field.name] = block[start : start + size].view(field.dtype)
        start += size
    return columns


@njit(cache=True, nogil=True)
def _unpack(packed: NDArray[np.uint8], block: NDArray[np.uint8]) -> int:
    """Unpack LZF (Lehmann's liblzf); returns the number of bytes written to `block`, -1 if `packed` is damaged."""
    at, filled = 0, 0
    while at < len(packed):
        control = int(packed[at])
        at += 1
        if control < 32:  # control + 1 literal bytes
            if at + control + 1 > len(packed) or filled + control + 1 > len(block):
                return -1
            for _ in range(control + 1):
                block[filled] = packed[at]
                at, filled = at + 1, filled + 1
            continue
        length = control >> 5
        if length == 7:
            if at >= len(packed):
                return -1
            length += int(packed[at])
            at += 1
        if at >= len(packed):
            return -1
        source = filled - ((control & 31) << 8) - int(packed[at]) - 1
        at += 1
        if source < 0 or filled + length + 2 > len(block):
            return -1
        for _ in range(length + 2):  # source and destination may overlap
            block[filled] = block[source]
            source, filled = source + 1, filled + 1
    return filled
