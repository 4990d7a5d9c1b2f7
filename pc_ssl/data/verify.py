"""Verification of a cache: checksums of files and consistency of their content."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pc_ssl.data.cache import TIME, Cache, Frame, damage_of, frame_file
from pc_ssl.data.fields import PER_CAMERA, PER_IMAGE, REQUIRED, shape_problems
from pc_ssl.errors import UserError
from pc_ssl.progress import track

NUMPY_NAME = {torch.bool: "bool"}  # dtypes with different names in torch and numpy, apart from the prefix "torch."


@dataclass(frozen=True)
class Problem:
    """A problem of one file of a cache."""

    file: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class VerifyReport:
    """Number and size in bytes of the frames, the problems, and region generator -> frames without its regions."""

    path: Path
    frames: int
    bytes: int
    problems: tuple[Problem, ...]
    without_regions: Mapping[str, int] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """1 if there are problems, else 0."""
        return 1 if self.problems else 0

    def summary(self) -> str:
        """One line without problems, else one per problem and a remedy."""
        if not self.problems:
            sound = f"{self.path}: {self.frames} frames, {self.bytes / 1e6:.1f} MB, all sound"
            return "\n".join([*self.warnings(), sound])
        files = len({problem.file for problem in self.problems})
        advice = (
            f"{self.path}: {files} of {self.frames} frames are bad; run the same pc-ssl prepare again to rewrite them"
        )
        return "\n".join([*map(str, self.problems), advice])

    def warnings(self) -> list[str]:
        """One line per generator without regions in more than half of the frames."""
        return [
            f"region/{name}: no regions in {count} of {self.frames} frames; are points in metres, z up?"
            for name, count in self.without_regions.items()
            if 2 * count > self.frames
        ]


def verify(path: Path) -> VerifyReport:
    """Check every frame of a cache: size and checksum of the file, names, dtypes and shapes of the tensors, finite
    values, ids and classes in range, pixels inside their images, rigid poses, and the tensors required by the options.

    Raises:
        UserError: `path` is not a cache, or one of another schema version.
    """
    cache = Cache(path)
    problems = []
    seen: set[str] = set()
    empty: Counter[str] = Counter()
    for index in track(range(len(cache)), total=len(cache), what="verifying"):
        entry = cache.frames[index]
        reasons = list(_frame_problems(cache, index))
        if entry.token in seen:
            reasons.append(f"the manifest lists frame {entry.token!r} twice")
        seen.add(entry.token)
        if not reasons:
            frame = cache[index]
            empty.update(name for name in frame.regions if not bool((frame[f"region/{name}"] >= 0).any()))
        problems += [Problem(cache.path / entry.file, reason) for reason in reasons]
    return VerifyReport(
        cache.path, len(cache), sum(entry.bytes for entry in cache.frames), tuple(problems), dict(empty)
    )


def _frame_problems(cache: Cache, index: int) -> Iterator[str]:
    entry = cache.frames[index]
    try:
        if entry.file != frame_file(entry.scene, entry.token):
            yield f"is not where frame {entry.token!r} of {entry.scene!r} belongs"
            return
        damage = damage_of(cache.path, entry)
        if damage is not None:
            yield damage
            return
        frame = cache[index]
        found = {key: (_dtype_name(frame[key].dtype), tuple(frame[key].shape)) for key in frame}
    except UserError as error:
        yield str(error).removeprefix(f"{cache.path / entry.file}: ")
        return
    wanted = [*REQUIRED, *(f"region/{name}" for name in cache.manifest.options.get("regions", ()))]
    wanted += _wanted_maps(frame, cache)
    wanted += ["keyframe"] if cache.manifest.merges_sweeps and cache.manifest.columns is not None else []
    missing = [key for key in wanted if key not in frame]
    form = [f"{key} is missing" for key in missing] + shape_problems(found) + list(_unpaired(frame))
    yield from form or _value_problems(frame, cache)


def _dtype_name(dtype: torch.dtype) -> str:
    return NUMPY_NAME.get(dtype, str(dtype).removeprefix("torch."))


def _wanted_maps(frame: Frame, cache: Cache) -> list[str]:
    """Names of the label maps required by the options: one per generator of images and camera."""
    generators = cache.manifest.options.get("images", {})
    return [f"{options['tensor']}/{name}/{camera}" for name, options in generators.items() for camera in frame.cameras]


def _unpaired(frame: Frame) -> Iterator[str]:
    """Missing tensors of incomplete groups."""
    if ("box" in frame) != ("box_class" in frame):
        yield "one of box and box_class is missing"
    cameras = {key.partition("/")[2] for key in frame if key.startswith(PER_CAMERA)}
    for camera in sorted(cameras):
        for key in PER_CAMERA:
            if key + camera not in frame:
                yield f"{key}{camera} is missing"


VELOCITY_FROM = {"box": 7, "box_global": 10}  # column


def _value_problems(frame: Frame, cache: Cache) -> Iterator[str]:
    """Invalid values of tensors; dtypes and shapes have been checked."""
    for key in frame:
        values = frame[key]
        if key in VELOCITY_FROM:
            values = values[:, : VELOCITY_FROM[key]]  # an unknown velocity is NaN
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            yield f"{key} holds values that are not finite"
        elif key.startswith("region/"):
            yield from _region_problems(key, values)
        elif key in ("ego_pose", "global_from_lidar") or key.startswith("camera_from_lidar/"):
            yield from _pose_problems(key, values)
    yield from _class_problems(frame, cache)
    if "box" in frame and not bool((frame["box"][:, 3:6] > 0).all()):
        yield "box holds a size that is not positive"
    if "instance" in frame and bool((frame["instance"] < 0).any()):
        yield f"instance holds {int(frame['instance'].min())}, expected 0 or more"
    yield from _column_problems(frame, cache)
    for camera in frame.cameras:
        yield from _camera_problems(frame, camera, cache)


def _column_problems(frame: Frame, cache: Cache) -> Iterator[str]:
    """Columns of points, and consistency of `keyframe` and time."""
    columns = cache.manifest.columns
    if columns is None:
        return
    points = frame["points"]
    if points.shape[1] != len(columns):
        yield f"points has {points.shape[1]} columns, but the manifest names {len(columns)}: {', '.join(columns)}"
    elif "keyframe" in frame and TIME in columns:
        lagging = frame["keyframe"] & (points[:, columns.index(TIME)] != 0)
        if bool(lagging.any()):
            yield f"keyframe is True for point {int(lagging.nonzero()[0])}, whose time lag is not 0"


def _class_problems(frame: Frame, cache: Cache) -> Iterator[str]:
    """Class indices out of range of the manifest."""
    for key, kind in (("label", "label"), ("box_class", "box"), ("box_attribute", "attribute")):
        known = len(cache.manifest.classes.get(kind, ()))
        if key in frame and len(frame[key]) and int(frame[key].max()) >= known:
            yield f"{key} holds class {int(frame[key].max())}, but the manifest names {known}"
    known = len(cache.manifest.classes.get("map", ()))
    if "bev_map" in frame and len(frame["bev_map"]) != known:
        yield f"bev_map holds {len(frame['bev_map'])} classes, but the manifest names {known}"


def _region_problems(key: str, region: torch.Tensor) -> Iterator[str]:
    if not len(region):
        return
    if int(region.min()) < -1:
        yield f"{key} holds id {int(region.min())}, expected -1 or more"
        return
    count = int(region.max()) + 1
    if count > len(region):
        yield f"{key} holds id {count - 1}, but the frame has {len(region)} points"
        return
    empty = (torch.bincount(region[region >= 0].long(), minlength=count) == 0).nonzero()
    if len(empty):
        yield f"{key} holds ids up to {count - 1}, but none of its points has id {int(empty[0])}"


def _pose_problems(key: str, pose: torch.Tensor) -> Iterator[str]:
    pose = pose.double()
    rotation, last_row = pose[:3, :3], pose[3]
    identity, bottom = torch.eye(3, dtype=torch.float64), torch.tensor([0, 0, 0, 1], dtype=torch.float64)
    if (rotation @ rotation.T - identity).abs().max() > 1e-4 or not torch.equal(last_row, bottom):
        yield f"{key} is not a rigid transform"


def _label_map_problems(key: str, label: torch.Tensor, size: tuple[int, int], cache: Cache) -> Iterator[str]:
    if tuple(label.shape) != size:
        yield f"{key} has {label.shape[1]}x{label.shape[0]} pixels, but its image has {size[1]}x{size[0]}"
    elif key.startswith("pseudo_label/") and int(label.max()) >= len(cache.manifest.classes["label"]):
        yield f"{key} holds class {int(label.max())}, but the manifest names {len(cache.manifest.classes['label'])}"


def _camera_problems(frame: Frame, camera: str, cache: Cache) -> Iterator[str]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(frame[f"image/{camera}"].numpy().tobytes())) as image:
            width, height = image.size
    except (OSError, Image.DecompressionBombError) as error:
        yield f"image/{camera} cannot be decoded ({error})"
        return
    for key in frame:
        if key.startswith(PER_IMAGE) and key.rpartition("/")[2] == camera:
            yield from _label_map_problems(key, frame[key], (height, width), cache)
    pixel, point = frame[f"pixel/{camera}"], frame[f"point/{camera}"]
    if not bool(((pixel >= 0) & (pixel <= torch.tensor([width - 1, height - 1]))).all()):
        yield f"pixel/{camera} leaves the image of {width}x{height} pixels"
    points = len(frame["points"])
    if not bool(((point >= 0) & (point < points)).all()):
        yield f"point/{camera} names rows outside the {points} points"
