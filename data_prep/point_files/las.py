"""Uncompressed ASPRS LAS files, versions 1.0 to 1.4.

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
_RECORD = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)  # bytes per point, by point format
_COLOR = {2: 20, 3: 28, 5: 28, 7: 30, 8: 30, 10: 30}  # byte offset of red, green and blue in point formats with colour
_COMPRESSED = 0x80  # bit of the point format that is set in LAZ files


def read_las(path: Path) -> Columns:
    """x, y, z in the file's unit [N] float64, intensity, and red, green, blue [N] uint16 if present.

    Raises:
        UserError: the file is missing, damaged or compressed (LAZ).
    """
    content = read_bytes(path)
    if len(content) < _SMALLEST_HEADER or not content.startswith(b"LASF"):
        raise UserError(f"{path}: has no LAS header, expected 'LASF' and at least {_SMALLEST_HEADER} bytes")
    start, form, length, count = struct.unpack_from("<I4xBHI", content, 96)
    scale = np.array(struct.unpack_from("<6d", content, 131))
    if form & _COMPRESSED:
        raise UserError(f"{path}: is compressed (LAZ); unpack it to LAS first, for example with laszip or PDAL")
    if form >= len(_RECORD) or length < _RECORD[form]:
        raise UserError(f"{path}: unknown point format {form} with {length} bytes per point")
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
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged scale; the reader rejects values that are not finite
        return columns | {name: columns[name] * scale[k] + scale[3 + k] for k, name in enumerate(("x", "y", "z"))}
