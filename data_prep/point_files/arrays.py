"""Arrays of points: raw float32 (.bin) and numpy files (.npy, .npz). Nothing is unpickled."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.point_files.columns import MOST_UNPACKED, Columns, ColumnsError
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_UNREADABLE = (ValueError, SyntaxError, TypeError, EOFError, RecursionError, MemoryError, tokenize.TokenError)
_NO_ARCHIVE = (
    *(KeyError, ValueError, OSError, EOFError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


def read_bin(path: Path, names: Sequence[str]) -> Columns:
    """Points in KITTI's format: rows of little-endian float32 without a header.

    Raises:
        UserError: the file is missing, or its size is not a whole number of points.
    """
    content = read_bytes(path)
    if len(content) % (4 * len(names)):
        raise ColumnsError(
            f"{path}: {len(content)} bytes are not a whole number of points of {4 * len(names)} bytes "
            f"({' '.join(names)} as float32); the file is cut off (copy it again), or has other columns: --columns"
        )
    return _named(np.frombuffer(content, np.dtype("<f4")).reshape(-1, len(names)), names)


def read_npy(path: Path, names: Sequence[str]) -> Columns:
    """An array [N, C] of numbers.

    Raises:
        UserError: the file is missing or damaged, or is not such an array.
    """
    return _named(_array(path, read_bytes(path), names), names)


def read_npz(path: Path, names: Sequence[str]) -> Columns:
    """The array `points` [N, C] of an .npz file, or its only one.

    Raises:
        UserError: the file is missing or damaged, has no such array, or unpacks to more than `MOST_UNPACKED` bytes.
    """
    content = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            chosen = [member for member in members if member.filename == "points.npy"] or members
            if len(chosen) != 1:
                held = ", ".join(repr(member.filename) for member in members[:8]) or "none"
                raise UserError(f"{path}: expected an array 'points' or a single array, found {held}")
            if chosen[0].file_size > MOST_UNPACKED:
                raise UserError(f"{path}: unpacks to {chosen[0].file_size} bytes, expected at most {MOST_UNPACKED}")
            unpacked = archive.read(chosen[0])
    except UserError:
        raise
    except _NO_ARCHIVE as error:
        raise UserError(f"{path}: not readable as an .npz file ({' '.join(str(error).split())})") from None
    return _named(_array(path, unpacked, names), names)


def _array(path: Path, content: bytes, names: Sequence[str]) -> NDArray:
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"unknown version {version[0]}.{version[1]}")
        shape, column_major, dtype = _HEADERS[version](file)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: not readable as a numpy array ({reason})") from None
    if dtype.kind not in "fiu" or len(shape) != 2 or shape[1] != len(names) or min(shape) < 0:
        raise ColumnsError(
            f"{path}: holds {dtype.name} {list(shape)}, expected numbers [N, {len(names)}]: {', '.join(names)}; "
            "name its columns: --columns"
        )
    rest = len(content) - file.tell()
    if math.prod(shape) * dtype.itemsize != rest:
        raise UserError(f"{path}: {rest} bytes of data, expected {list(shape)} numbers of {dtype.itemsize} bytes")
    flat = np.frombuffer(content, dtype, offset=file.tell()) if rest else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if column_major else "C")


def _named(array: NDArray, names: Sequence[str]) -> Columns:
    return {name: array[:, index] for index, name in enumerate(names)}
