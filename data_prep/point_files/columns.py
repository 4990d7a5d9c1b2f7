"""Result type, limits and checks shared by all readers of point files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pc_ssl.errors import UserError


class ColumnsError(UserError):
    """The file does not have the columns that the user named, or their values contradict the names."""


Columns = dict[str, NDArray[Any]]  # name -> [N], in the order of the file
MOST_UNPACKED = 400_000_000  # bytes; largest unpacked size of a compressed file: 25 million points of 16 bytes
LONGEST_HEADER = 1 << 16  # bytes


def table(path: Path, content: bytes, start: int, count: int, dtype: np.dtype) -> NDArray[Any]:
    """`count` records from byte `start`.

    Raises:
        UserError: the file is too short.
    """
    if count < 0 or count * dtype.itemsize > len(content) - start:
        raise UserError(
            f"{path}: the header declares {count} points of {dtype.itemsize} bytes, but {max(len(content) - start, 0)} "
            "bytes follow; the file is cut off: copy it again"
        )
    return np.frombuffer(content, dtype, count, start) if count else np.empty(0, dtype)


def numbers(path: Path, lines: list[bytes], columns: int) -> NDArray[np.float64]:
    """Lines of text with `columns` numbers each -> [N, columns].

    Raises:
        UserError: a line is not `columns` numbers.
    """
    lines = [line for line in lines if line.strip()]
    if not lines:
        return np.empty((0, columns))
    try:
        values = np.loadtxt(lines, np.float64, comments=None, ndmin=2)
    except ValueError as error:
        raise UserError(f"{path}: expected lines of {columns} numbers ({' '.join(str(error).split())})") from None
    if values.shape != (len(lines), columns):
        raise UserError(
            f"{path}: holds {values.shape[0]} lines of {values.shape[1]} numbers, expected {len(lines)} of {columns}"
        )
    return values


def header_number(path: Path, field: str, text: str) -> int:
    """A count in a text header.

    Raises:
        UserError: it is not a whole number, is negative, or has too many digits.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise UserError(f"{path}: {field} is {text[:40]!r}, expected a whole number")
    return int(text)


def typed(path: Path, name: str, values: NDArray[np.float64], dtype: np.dtype) -> NDArray[Any]:
    """A column of text converted to the header's type, which distinguishes colours in 0..255 from those in 0..1.

    Raises:
        UserError: the type cannot represent a value.
    """
    if dtype.kind == "f":
        return values
    limit = np.iinfo(dtype)
    if not ((values >= limit.min) & (values <= limit.max) & (values == np.rint(values))).all():
        raise UserError(f"{path}: {name!r} holds values that are not {dtype.name}, the header's type")
    return values.astype(dtype)
