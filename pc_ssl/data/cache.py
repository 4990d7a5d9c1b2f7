"""The cache of prepared keyframes. Only this module reads and writes it.

manifest.json                              written last: a folder without it is not a cache
frames/<scene>/<token>.safetensors         one keyframe; the tensors are those of fields.py

cache = Cache(Path("cache"))
frame = cache[0]                                         # a mapping from names to tensors
list(frame), frame["points"], frame["region/dbscan"]     # memory-mapped; other tensors are not read
cache.columns, frame.keyframe, frame.cameras, frame.regions
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pc_ssl.data.fields import PER_IMAGE, REQUIRED, field_of, shape_problems
from pc_ssl.data.label_maps import decode_label_map, encode_label_map
from pc_ssl.errors import UserError
from pc_ssl.files import inside, read_json, write_bytes, write_json
from pc_ssl.taxonomies import IGNORE as IGNORE

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
FAILED = "failed.json"  # frames that could not be prepared: their token, scene and reason
XYZ = ("x", "y", "z")
ALL_FRAMES = "all"  # denotes all frames of a cache, unless a split has this name
TIME = "time"  # column of the time lag in seconds from a point's sweep to the keyframe: 0 for the keyframe's sweep


@dataclass(frozen=True)
class FrameEntry:
    """One frame in the manifest. `file` is relative to the cache; `bytes` and `sha256` are of the whole file."""

    token: str
    scene: str
    timestamp_us: int
    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Description of a cache.

    Args:
        dataset: name of the data set, such as "nuscenes".
        version: version of the data set, such as "v1.0-mini".
        options: of preparation: plain JSON values, the same options give the same bytes.
        classes: names of the classes: "label" of points (index 0 is "ignore") and "box" of boxes; "attribute" of boxes
            (index 0 is "none") and "map", if the data set has them.
        splits: scene names of each split of the data set, limited to scenes of the cache.
        frames: in the order of the data set.
        columns: names of the columns of `points`, in order, x y z first; None in older caches, for which
            `Cache.columns` derives them.
    """

    dataset: str
    version: str
    options: Mapping[str, Any]
    classes: Mapping[str, Sequence[str]]
    splits: Mapping[str, Sequence[str]]
    frames: Sequence[FrameEntry]
    columns: Sequence[str] | None = None

    @property
    def merges_sweeps(self) -> bool:
        """Whether frames may hold points of earlier sweeps; their last column is then the time lag."""
        sweeps = self.options.get("sweeps", 1)
        return isinstance(sweeps, int) and sweeps > 1

    @property
    def options_hash(self) -> str:
        return hash_of(self.options)

    def to_json(self) -> dict[str, Any]:
        """The content of manifest.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "dataset": self.dataset,
            "version": self.version,
            **({} if self.columns is None else {"columns": list(self.columns)}),
            "options": dict(self.options),
            "options_hash": self.options_hash,
            "classes": {kind: list(names) for kind, names in self.classes.items()},
            "splits": {name: list(scenes) for name, scenes in self.splits.items()},
            "frames": [asdict(entry) for entry in self.frames],
        }


def hash_of(options: Mapping[str, Any]) -> str:
    """sha256 of JSON values, independent of the order of keys."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path, file: str = MANIFEST) -> Manifest:
    """Read and check `folder`/manifest.json, or a manifest under another name.

    Raises:
        UserError: the manifest is missing, has another schema version, or has a missing or invalid field.
    """
    path = folder / file
    if not path.is_file():
        raise UserError(f"{folder}: not a complete cache, {file} is missing; run pc-ssl prepare (again) to write it")
    content = read_json(path)
    found = content.get("schema_version") if isinstance(content, dict) else None
    if found != SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema_version is {found!r}, but this pc_ssl reads {SCHEMA_VERSION}; prepare the cache again"
        )
    for name, kind in _MANIFEST_FIELDS.items():
        if not isinstance(content.get(name), kind):
            found = f"is {str(content[name])[:40]!r}" if name in content else "is missing"
            raise UserError(
                f"{path}: field {name!r} {found}, expected {_KINDS[kind]}; the file was changed after preparation: run "
                "the same pc-ssl prepare into another folder"
            )
    manifest = Manifest(
        dataset=content["dataset"],
        version=content["version"],
        options=content["options"],
        classes=content["classes"],
        splits=content["splits"],
        frames=tuple(_entry_from_json(path, index, value) for index, value in enumerate(content["frames"])),
        columns=_columns_from_json(path, content),
    )
    for name in ("label", "box"):
        if name not in manifest.classes:
            raise UserError(f"{path}: field 'classes' has no {name!r}")
    if manifest.options_hash != content["options_hash"]:
        raise UserError(f"{path}: options_hash does not match the options; the file was changed after preparation")
    return manifest


_MANIFEST_FIELDS: dict[str, type] = {
    "dataset": str,
    "version": str,
    "options": dict,
    "options_hash": str,
    "classes": dict,
    "splits": dict,
    "frames": list,
}


_KINDS: dict[type, str] = {str: "a text", dict: "an object", list: "a list"}


def _columns_from_json(path: Path, content: Mapping[str, Any]) -> tuple[str, ...] | None:
    columns = content.get("columns")
    if columns is None:
        return None
    named = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
    if not named or tuple(columns[:3]) != XYZ or len(set(columns)) != len(columns):
        raise UserError(f"{path}: field 'columns' is {columns!r}, expected names, x, y, z first, each once")
    return tuple(columns)


def _entry_from_json(path: Path, index: int, value: Any) -> FrameEntry:
    for field in fields(FrameEntry):
        kind = int if field.name in ("timestamp_us", "bytes") else str
        if not isinstance(value, dict) or not isinstance(value.get(field.name), kind):
            raise UserError(f"{path}: frames[{index}] has no field {field.name!r} of type {kind.__name__}")
    return FrameEntry(**{field.name: value[field.name] for field in fields(FrameEntry)})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json atomically, which makes the folder a cache.

    Raises:
        UserError: it cannot be written.
    """
    write_json(folder / MANIFEST, manifest.to_json())


def frame_file(scene: str, token: str) -> str:
    """The frame's path relative to the cache.

    Raises:
        UserError: a name that is not a plain file name.
    """
    for kind, name in (("scene", scene), ("token", token)):
        if not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_+.-]*", name):
            raise UserError(f"{kind} {name!r}: expected only letters, digits and _ + - . as in file names of the cache")
    return f"frames/{scene}/{token}.safetensors"


def encode_frame(tensors: Mapping[str, NDArray]) -> bytes:
    """Encode a frame's file; the same tensors give the same bytes.

    Raises:
        ValueError: a tensor is not in FIELDS or has another dtype or shape, or a label map has ids out of range.
    """
    from safetensors.numpy import save

    missing = [key for key in REQUIRED if key not in tensors]
    wrong = shape_problems({key: (str(value.dtype), value.shape) for key, value in tensors.items()})
    if missing or wrong:
        raise ValueError("; ".join([f"{key} is missing" for key in missing] + wrong))
    stored = {key: encode_label_map(value) if key.startswith(PER_IMAGE) else value for key, value in tensors.items()}
    return save({key: np.ascontiguousarray(value) for key, value in stored.items()})


def decode_frame(content: bytes) -> dict[str, NDArray]:
    """The tensors of a frame's file, the inverse of `encode_frame`.

    Raises:
        ValueError: the content is not such a file, or holds a damaged label map.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        stored = load(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return {key: _label_map(key, value) if key.startswith(PER_IMAGE) else value for key, value in stored.items()}


def _label_map(key: str, stored: NDArray[np.uint8]) -> NDArray:
    """Decode a label map from its PNG, with the dtype of FIELDS.

    Raises:
        ValueError: the bytes are not such a PNG.
    """
    field = field_of(key)
    return decode_label_map(stored).astype(field.dtype if field else np.int32)


def write_frame(folder: Path, scene: str, token: str, timestamp_us: int, content: bytes) -> FrameEntry:
    """Write one frame's file (`encode_frame`) atomically.

    Raises:
        UserError: it cannot be written (the disk is full, ...), or scene or token is not a file name.
    """
    file = frame_file(scene, token)
    write_bytes(folder / file, content)
    return FrameEntry(token, scene, timestamp_us, file, len(content), hashlib.sha256(content).hexdigest())


def damage_of(folder: Path, entry: FrameEntry) -> str | None:
    """Reason why the frame's file differs from the written one; None if it is equal."""
    try:
        with inside(folder, entry.file).open("rb") as file:
            found = file.seek(0, 2)
            if found != entry.bytes:
                return f"has {found} bytes, but {entry.bytes} were written"
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256")
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if digest.hexdigest() == entry.sha256 else "has another checksum than the written file"


class Frame(Mapping[str, "Tensor"]):
    """One keyframe: name -> tensor. `frame[key]` memory-maps one tensor (label maps are decoded) without
    reading the others; names are sorted.

    Args:
        path: the frame's file.
        token, scene: of the frame.
        merges_sweeps: whether frames of the cache may have points of earlier sweeps.

    Raises:
        UserError: the file is missing or damaged.
    """

    def __init__(self, path: Path, token: str, scene: str, merges_sweeps: bool = False) -> None:
        from safetensors import SafetensorError, safe_open

        self.path, self.token, self.scene = path, token, scene
        self._merges_sweeps = merges_sweeps
        try:
            self._file = safe_open(path, framework="pt")
        except FileNotFoundError:
            raise UserError(f"{path}: the frame's file is missing; run pc-ssl prepare again to write it") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: damaged ({error}); run pc-ssl verify to find all such files") from error
        self._keys = dict.fromkeys(sorted(self._file.keys()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def get(self, key: str, default: Any = None) -> Any:
        """The tensor, or `default` if the frame does not have it."""
        return self[key] if key in self else default  # noqa: SIM401 - it would call this function

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return tuple(key.removeprefix("image/") for key in self if key.startswith("image/"))

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the region generators, and of regions of the data set itself."""
        return tuple(key.removeprefix("region/") for key in self if key.startswith("region/"))

    @property
    def keyframe(self) -> Tensor:
        """[N] bool: True for points of the keyframe's sweep, False for those of earlier sweeps.

        In older caches without this tensor: points with a time lag of 0.
        """
        import torch

        if "keyframe" in self:
            return self["keyframe"]
        points = self["points"]
        return points[:, -1] == 0 if self._merges_sweeps else torch.ones(len(points), dtype=torch.bool)

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a stored tensor, read from the file's header.

        Raises:
            UserError: the frame has no such tensor.
        """
        self._check(key)
        return tuple(self._file.get_slice(key).get_shape())

    def _check(self, key: str) -> None:
        if key not in self._keys:
            raise UserError(f"{self.path}: the frame has no {key!r}; it has {', '.join(self)}")

    def __getitem__(self, key: str) -> Tensor:
        """The tensor on the CPU; see FIELDS for shape, unit and frame.

        Raises:
            UserError: the frame has no such tensor, or a damaged label map.
        """
        import torch

        self._check(key)
        stored = self._file.get_tensor(key)
        if not key.startswith(PER_IMAGE):
            return stored
        try:
            return torch.from_numpy(_label_map(key, stored.numpy()))
        except ValueError as error:
            raise UserError(
                f"{self.path}: {key} is damaged ({error}); run pc-ssl verify to find all such files"
            ) from error


class Cache:
    """A prepared data set on disk, as a sequence of frames.

    Args:
        path: the folder that `pc-ssl prepare` wrote.

    Raises:
        UserError: the folder is not a complete cache, or has another schema version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)

    def __len__(self) -> int:
        return len(self.manifest.frames)

    def __getitem__(self, index: int) -> Frame:
        entry = self.manifest.frames[index]
        return Frame(inside(self.path, entry.file), entry.token, entry.scene, self.manifest.merges_sweeps)

    @property
    def frames(self) -> Sequence[FrameEntry]:
        return self.manifest.frames

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the point labels; index 0 is "ignore"."""
        return self.manifest.classes["label"]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `points`, in order: x y z, then features such as intensity and time (`TIME`).

        Raises:
            UserError: an older cache whose points have a different number of columns than expected from its options.
        """
        if self.manifest.columns is not None:
            return tuple(self.manifest.columns)
        named = self.manifest.options.get("columns")
        lidar = (*XYZ, "intensity", TIME) if self.manifest.merges_sweeps else (*XYZ, "intensity")
        columns = tuple(named) if isinstance(named, list) else lidar
        found = self[0].shape("points")[1] if len(self) else len(columns)
        if found != len(columns):
            raise UserError(
                f"{self.path / MANIFEST}: has no field 'columns', and points have {found} columns where "
                f"{', '.join(columns)} were expected; prepare the cache again"
            )
        return columns

    def default_split(self, role: str) -> str:
        """The default split for `role`, "train" or "val".

        This is the split of this name, or else the only one with this suffix (`mini_train`, `sim_train`).

        Raises:
            UserError: there is none, or more than one.
        """
        if role in self.manifest.splits:
            return role
        fitting = [name for name in self.manifest.splits if name.endswith(f"_{role}")]
        if len(fitting) != 1:
            known = ", ".join(self.manifest.splits) or "none"
            raise UserError(f"{self.path / MANIFEST}: which split is the {role} split? the cache has: {known}")
        return fitting[0]

    def num_failed(self, split: str) -> int:
        """How many frames of a split could not be prepared, and of scenes that no split has any more.

        Raises:
            UserError: failed.json is damaged.
        """
        path = self.path / FAILED
        failed = read_json(path) if path.is_file() else []
        if not isinstance(failed, list) or not all(isinstance(of, dict) and "scene" in of for of in failed):
            raise UserError(f"{path}: expected a list of frames with field 'scene'; run pc-ssl prepare again")
        others = {scene for name, of in self.manifest.splits.items() if name != split for scene in of}
        scenes = set(self.manifest.splits.get(split, ()))
        return sum(frame["scene"] in scenes or frame["scene"] not in others for frame in failed)

    def indices(self, split: str) -> list[int]:
        """Rows of `frames` that belong to a split, in order; `ALL_FRAMES` selects all of them.

        Raises:
            UserError: the cache has no such split.
        """
        if split == ALL_FRAMES and split not in self.manifest.splits:
            return list(range(len(self)))
        if split not in self.manifest.splits:
            known = ", ".join(self.manifest.splits) or "none"
            raise UserError(f"{self.path / MANIFEST}: no split {split!r}; the cache has: {known}")
        scenes = set(self.manifest.splits[split])
        return [index for index, entry in enumerate(self.frames) if entry.scene in scenes]
