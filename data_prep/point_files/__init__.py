"""Point files in common formats: .bin, .npy, .npz, .ply, .pcd and .las.

    column = read_columns(path, ("x", "y", "z", "intensity"))
    column["x"]      # [N], of the file's dtype

Sizes in a header are checked against the size of the file before memory is allocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.point_files.arrays import read_bin, read_npy, read_npz
from data_prep.point_files.columns import Columns, ColumnsError
from data_prep.point_files.las import read_las
from data_prep.point_files.pcd import PACKED, read_pcd
from data_prep.point_files.ply import read_ply

UNNAMED = {".bin": read_bin, ".npy": read_npy, ".npz": read_npz}  # by suffix; arrays whose columns the user names
NAMED = {".las": read_las, ".pcd": read_pcd, ".ply": read_ply}  # the file names its columns
ENDINGS = (*UNNAMED, *NAMED)
SYNONYMS = {color: (f"diffuse_{color}", color[0]) for color in ("red", "green", "blue")}  # other names in use


def read_columns(path: Path, names: Sequence[str]) -> Columns:
    """Read a point file.

    Args:
        path: a file with one of `ENDINGS`.
        names: for a file without column names, all of its columns in order; else the columns to read: NAME, or
            NAME=COLUMN if it is called COLUMN in the file. Case-insensitive.

    Returns:
        the columns by NAME.

    Raises:
        UserError: the file is missing or damaged.
        ColumnsError: it has other columns.
    """
    ending = path.suffix.lower()
    if ending in UNNAMED:
        return UNNAMED[ending](path, names)
    columns = NAMED[ending](path)
    return {name.partition("=")[0]: columns[_found(path, columns, name)] for name in names}


def _found(path: Path, columns: Columns, asked: str) -> str:
    """The name in the file of a column requested as NAME or NAME=COLUMN."""
    name, _, other = asked.partition("=")
    wanted = (other,) if other else (name, *SYNONYMS.get(name, ()))
    for candidate in wanted:
        if candidate in columns:
            return candidate
        same = [column for column in columns if column.lower() == candidate.lower()]
        if len(same) == 1:
            return same[0]
    if name.lower() in PACKED and "red" in columns:
        raise ColumnsError(f"{path}: {name!r} holds packed colours; use red,green,blue instead: --columns")
    raise ColumnsError(
        f"{path}: has no column {wanted[0]!r}, found {', '.join(columns) or 'none'}; name the columns, or write "
        f"{name}=COLUMN: --columns"
    )


__all__ = ["ENDINGS", "NAMED", "UNNAMED", "Columns", "ColumnsError", "read_columns"]
