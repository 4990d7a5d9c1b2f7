"""Files of points in the formats that tools write: .bin, .npy, .npz, .ply, .pcd and .las.

    column = read_columns(path, ("x", "y", "z", "intensity"))
    column["x"]      # [N], of the file's own dtype

Whatever a file says about itself is compared with the bytes that are there before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.point_files.arrays import read_bin, read_npy, read_npz
from data_prep.point_files.columns import Columns
from data_prep.point_files.las import read_las
from data_prep.point_files.pcd import read_pcd
from data_prep.point_files.ply import read_ply
from pc_ssl.errors import UserError

UNNAMED = {".bin": read_bin, ".npy": read_npy, ".npz": read_npz}  # by ending; an array whose columns the user names
NAMED = {".las": read_las, ".pcd": read_pcd, ".ply": read_ply}  # the file names its columns
ENDINGS = (*UNNAMED, *NAMED)


def read_columns(path: Path, names: Sequence[str]) -> Columns:
    """Read a file of points.

    Args:
        path: a file with one of `ENDINGS`.
        names: of a file without names, all of its columns in their order; of another, the columns to read.

    Raises:
        UserError: the file is missing or damaged, or has other columns.
    """
    ending = path.suffix.lower()
    if ending in UNNAMED:
        return UNNAMED[ending](path, names)
    columns = NAMED[ending](path)
    for name in names:
        if name not in columns:
            raise UserError(f"{path}: has no column {name!r}, but {', '.join(columns) or 'none'}; name them: --columns")
    return {name: columns[name] for name in names}


__all__ = ["ENDINGS", "NAMED", "UNNAMED", "Columns", "read_columns"]
