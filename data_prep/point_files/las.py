"""LAS files of the ASPRS, versions 1.0 to 1.4, uncompressed.

The format: ASPRS, "LAS Specification 1.4 - R15", 2019.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from data_prep.point_files.columns import Columns, table
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

_SMALLEST_HEADER, _HEADER_1_4 = 227, 375  # bytes
_RECORD = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)  # bytes of a point by its format
_COLOR = {2: 20, 3: 28, 5: 28, 7: 30, 8: 30, 10: 30}  # where red, green and blue begin in formats that have them
_COMPRESSED = 0x80  # a bit of the format that LAZ sets


def read_las(path: Path) -> Columns:
    """x, y, z in the file's unit [N] float64, intensity, and red, green, blue where the file has them [N] uint16.

    Raises:
        UserError: the file is missing, damaged or compressed (LAZ).
    """
    content = read_bytes(path)
    if len(content) < _SMALLEST_HEADER or not content.startswith(b"LASF"):
        raise UserError(f"{path}: has no LAS header, which begins with 'LASF' and has {_SMALLEST_HEADER} bytes or more")
    start, form, length, count = struct.unpack_from("<I4xBHI", content, 96)
    scale = np.array(struct.unpack_from("<6d", content, 131))
    if form & _COMPRESSED:
        raise UserError(f"{path}: is compressed (LAZ); unpack it to LAS first, for example with laszip or PDAL")
    if form >= len(_RECORD) or length < _RECORD[form]:
        raise UserError(f"{path}: points of format {form} with {length} bytes are unknown")
    if content[25] >= 4 and len(content) >= _HEADER_1_4:
        count = struct.unpack_from("<Q", content, 247)[0]
    if not (np.isfinite(scale).all() and (scale[:3] > 0).all()):
        raise UserError(f"{path}: the header's scale is {scale[:3].tolist()}, expected numbers above 0")
    fields = {"x": ("<i4", 0), "y": ("<i4", 4), "z": ("<i4", 8), "intensity": ("<u2", 12)}
    if form in _COLOR:
        fields |= {name: ("<u2", _COLOR[form] + 2 * k) for k, name in enumerate(("red", "green", "blue"))}
    record = np.dtype(
        {
            "names": list(fields),
            "formats": [kind for kind, _ in fields.values()],
            "offsets": [at for _, at in fields.values()],
            "itemsize": length,
        }
    )
    rows = table(path, content, start, count, record)
    columns = {name: rows[name] for name in fields}
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged scale; what is not finite is refused by the reader
        return columns | {name: columns[name] * scale[k] + scale[3 + k] for k, name in enumerate(("x", "y", "z"))}
