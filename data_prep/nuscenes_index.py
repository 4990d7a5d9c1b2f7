"""Index of nuScenes' tables: their columns in one file, which later runs read instead of the tables.

    tables = indexed_tables(root, "v1.0-trainval", index=out / INDEX, keep=True)

The file is valid for tables of the same version, sizes and times of modification; otherwise, or if it is damaged, the
tables are read and it is written again. It holds only numbers and text (safetensors).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from data_prep.nuscenes_records import TABLES
from data_prep.nuscenes_tables import Boxes, Names, NuScenesTables, Recordings, Samples, Sensors, read_tables
from data_prep.strings import Strings
from pc_ssl.files import whole_file

INDEX = "nuscenes_tables.safetensors"
FORMAT = 1  # of the file; increment it when the columns or their meaning change
Group = TypeVar("Group", Names, Samples, Recordings, Sensors, Boxes)
Arrays = Mapping[str, NDArray[Any]]


def indexed_tables(root: Path, version: str, index: Path | None, *, keep: bool) -> NuScenesTables:
    """The tables, from the index if it is valid.

    Args:
        root, version: as for `read_tables`.
        index: the file; None: not used.
        keep: write the index if it is missing and its folder exists.

    Raises:
        UserError: as for `read_tables`; the index cannot be written.
    """
    key = _key(root / version)
    found = _load(index, key) if index is not None and index.is_file() else None
    if found is not None:
        return found
    tables = read_tables(root, version)
    if keep and index is not None and index.parent.is_dir() and _key(root / version) == key:
        _save(index, key, tables)
    return tables


def _key(folder: Path) -> dict[str, Any]:
    """Validity key of the index: format, name of the version, size and modification time of each table."""
    states = {name: folder / f"{name}.json" for name in TABLES}
    found = {name: path.stat() for name, path in states.items() if path.is_file()}
    return {
        "format": FORMAT,
        "version": folder.name,
        "tables": {name: [state.st_size, state.st_mtime_ns] for name, state in found.items()},
    }


def _save(path: Path, key: dict[str, Any], tables: NuScenesTables) -> None:
    arrays = dict(_arrays(tables))
    with whole_file(path) as temporary:
        save_file(arrays, temporary, {"key": json.dumps(key | {"checksum": _checksum(arrays)})})


def _load(path: Path, key: dict[str, Any]) -> NuScenesTables | None:
    """The tables of an index; None if the key differs or the file is damaged."""
    try:
        with safe_open(path, "numpy") as file:
            found = json.loads((file.metadata() or {})["key"])
            if {name: found.get(name) for name in key} != key:
                return None
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _checksum(arrays) != found["checksum"]:
            return None
        return NuScenesTables(
            names=_group(Names, arrays, "names"),
            samples=_group(Samples, arrays, "samples"),
            recordings=_group(Recordings, arrays, "recordings"),
            sensors=_group(Sensors, arrays, "sensors"),
            boxes=_group(Boxes, arrays, "boxes"),
        )
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError):
        return None


def _arrays(tables: NuScenesTables) -> Iterator[tuple[str, NDArray[Any]]]:
    for group in fields(tables):
        columns = getattr(tables, group.name)
        for field in fields(columns):
            column, name = getattr(columns, field.name), f"{group.name}/{field.name}"
            if isinstance(column, Strings):
                yield f"{name}/letters", column.letters
                yield f"{name}/end", column.end
            else:
                yield name, np.ascontiguousarray(column)


def _group(kind: type[Group], arrays: Arrays, group: str) -> Group:
    columns: dict[str, Any] = {field.name: _column(arrays, f"{group}/{field.name}") for field in fields(kind)}
    return kind(**columns)


def _column(arrays: Arrays, name: str) -> NDArray[Any] | Strings:
    if name in arrays:
        return arrays[name]
    return Strings(arrays[f"{name}/letters"], arrays[f"{name}/end"])


def _checksum(arrays: Arrays) -> int:
    value = 0
    for name in sorted(arrays):
        array = arrays[name]
        value = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), value)
        value = zlib.crc32(array.data if array.size else b"", value)
    return value
