"""Source of one ScanNet room: mesh, labels, segments, instances and RGB-D frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.left_out import NOT_FINITE, is_finite
from data_prep.point_files.columns import Columns
from data_prep.point_files.ply import read_mesh, read_ply
from data_prep.poses import rigid
from data_prep.reader import RawFrame
from data_prep.regions.graph import mesh_segments
from data_prep.regions.neighbours import nearest, normals_of
from data_prep.rgbd import RgbdCamera
from data_prep.scannet_frames import RgbdFrame, RgbdFrames, read_exported, read_sens
from data_prep.scannet_names import BENCHMARK_IDS, BOX_CLASSES, LABEL_CLASSES
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes, read_json
from pc_ssl.geometry import apply, invert

COLUMNS = ("x", "y", "z", "red", "green", "blue", "normal_x", "normal_y", "normal_z")
FARTHEST = 1000.0  # metres; larger coordinates indicate damage
THINNEST = 0.01  # metres; the smallest extent of a box, for flat objects
NORMAL_NEIGHBOURS = 15
LABEL_TABLE = "scannetv2-labels.combined.tsv"
FRAMES_25K = "scannet_frames_25k"  # ScanNet's archive of every hundredth frame
CLASS_OF_NYU40 = np.zeros(65536, np.uint8)
CLASS_OF_NYU40[list(BENCHMARK_IDS)] = np.arange(1, len(LABEL_CLASSES))


@dataclass(frozen=True)
class ScenePaths:
    """The files of one scene."""

    root: Path
    folder: Path

    def _file(self, ending: str) -> Path:
        return self.folder / f"{self.folder.name}{ending}"

    @property
    def mesh(self) -> Path:
        return self._file("_vh_clean_2.ply")

    @property
    def labels(self) -> Path:
        return self._file("_vh_clean_2.labels.ply")

    @property
    def segments(self) -> Path:
        return self._file("_vh_clean_2.0.010000.segs.json")

    @property
    def aggregation(self) -> Path:
        return self._file(".aggregation.json")

    @property
    def description(self) -> Path:
        return self._file(".txt")

    @property
    def label_table(self) -> Path:
        """ScanNet's raw category names with their NYU40 ids, in the data root."""
        return self.root / LABEL_TABLE

    @property
    def sens(self) -> Path:
        return self._file(".sens")

    @property
    def exported(self) -> Path | None:
        """The folder with color/, depth/ and pose/: the scene's own, or that of `FRAMES_25K`."""
        folders = (self.folder, self.root / FRAMES_25K / self.folder.name)
        return next((folder for folder in folders if (folder / "color").is_dir()), None)

    @property
    def has_frames(self) -> bool:
        return self.exported is not None or self.sens.is_file()


@dataclass(frozen=True)
class ScanNetSource:
    """Reads one room. Missing files, other than the mesh, are left out of the frame, with two exceptions: segments are
    computed as by ScanNet's segmentator if the mesh has faces, and labels are made from the objects' names and
    ScanNet's label table if both exist.

    Args:
        paths: the scene's files.
        frame_step: RGB-D frames whose number is a multiple of it become cameras.
        images: whether to read RGB-D frames.
    """

    paths: ScenePaths
    frame_step: int
    images: bool = True

    def read(self) -> RawFrame:
        """Read the scene's files.

        Raises:
            UserError: the mesh is missing, or a file is damaged.
        """
        paths = self.paths
        vertex, triangle = read_mesh(paths.mesh)
        kept = _finite(paths.mesh, vertex)
        triangle = _without(triangle, kept)
        room_from_world = read_alignment(paths.description) if paths.description.is_file() else np.eye(4)
        points = _points(paths.mesh, {name: of[kept] for name, of in vertex.items()}, triangle, room_from_world)
        label = _labels(paths.labels, len(kept))[kept] if paths.labels.is_file() else None
        segment = instance = None
        if paths.segments.is_file():
            segment = _segments(paths.segments, len(kept))
            if paths.aggregation.is_file():
                instance = _instances(paths.aggregation, segment)[kept]
                if label is None and paths.label_table.is_file():
                    label = _labels_of_objects(paths.aggregation, read_label_table(paths.label_table), instance)
            segment = segment[kept]
        elif len(triangle):
            segment = mesh_segments(points[:, :3], triangle).astype(np.int64)
        box = box_class = None
        if instance is not None and label is not None:
            box, box_class = boxes_of(points[:, :3], instance, label)
        frames = self._frames()
        views = {f"{view.number:06d}": view for view in frames.views}
        return RawFrame(
            points=points,
            label=label,
            box=box,
            box_class=box_class,
            ego_pose=invert(room_from_world),
            global_from_lidar=invert(room_from_world),
            cameras={name: _camera(view, room_from_world) for name, view in views.items()},
            images={name: view.color for name, view in views.items()},
            image_names={name: f"{paths.folder.name}_{name}" for name in views},
            instance=instance,
            region={} if segment is None else {"segment": _numbered(segment)},
            left_out={**frames.left_out, **({} if kept.all() else {NOT_FINITE: int((~kept).sum())})},
        )

    def _frames(self) -> RgbdFrames:
        exported = self.paths.exported
        if not self.images:
            return RgbdFrames((), {})
        if exported is not None:
            return read_exported(exported, self.frame_step)
        return read_sens(self.paths.sens, self.frame_step) if self.paths.sens.is_file() else RgbdFrames((), {})


def read_alignment(path: Path) -> NDArray[np.float64]:
    """[4, 4] room_from_world, which aligns walls with the axes: `axisAlignment` of a scene's .txt, else the identity.

    Raises:
        UserError: it is not a rigid transform.
    """
    for line in read_bytes(path).decode("latin-1").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "axisAlignment":
            try:
                numbers = [float(word) for word in value.split()]
            except ValueError:
                raise UserError(f"{path}: axisAlignment is {value.strip()[:40]!r}, expected 16 numbers") from None
            return rigid(path, "axisAlignment", numbers)
    return np.eye(4)


def _finite(path: Path, vertex: Columns) -> NDArray[np.bool_]:
    """[N] bool: vertices with finite coordinates.

    Raises:
        UserError: there are no vertices or no coordinates, or those of most are not finite.
    """
    if not set("xyz") <= set(vertex):
        raise UserError(f"{path}: the vertices have no x, y and z, found {', '.join(vertex)}")
    with np.errstate(all="ignore"):  # a signalling NaN
        xyz = np.stack([vertex[name] for name in "xyz"], 1).astype(np.float64)
    if not len(xyz):
        raise UserError(f"{path}: holds no vertices")
    return is_finite(path, xyz)


def _without(triangle: NDArray[np.int32], kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The triangles [T, 3] whose vertices are all kept [N], as indices of the kept vertices."""
    number = np.cumsum(kept, dtype=np.int32) - 1
    return number[triangle[kept[triangle].all(axis=1)]].astype(np.int32)


def _points(path: Path, vertex: Columns, triangle: NDArray[np.int32], room_from_world: NDArray) -> NDArray[np.float32]:
    """[N, 9]: `COLUMNS`."""
    for name in ("red", "green", "blue"):
        if name not in vertex:
            raise UserError(f"{path}: the vertices have no {name!r}, found {', '.join(vertex)}")
    if any(vertex[name].dtype != np.uint8 for name in ("red", "green", "blue")):
        raise UserError(f"{path}: red, green and blue are not of type uchar")
    world = np.stack([vertex[name] for name in "xyz"], 1).astype(np.float64)
    bad = (np.abs(world) > FARTHEST).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise UserError(f"{path}: vertex {row} is at {world[row].tolist()}, expected coordinates up to {FARTHEST:g} m")
    xyz = apply(room_from_world, world)
    color = np.stack([vertex[name] for name in ("red", "green", "blue")], 1) / 255
    return np.concatenate([xyz, color, _normals(xyz, triangle)], 1).astype(np.float32)


def _normals(xyz: NDArray[np.float64], triangle: NDArray[np.int32]) -> NDArray[np.float64]:
    """Unit normals [N, 3]: area-weighted mean of the adjacent triangles' normals; 0 for a vertex without triangles.

    Without faces they are normals of planes fitted to neighbours, oriented towards the centre of the room.
    """
    if len(triangle):
        a, b, c = (xyz[triangle[:, corner]] for corner in range(3))
        doubled_area = np.cross(b - a, c - a)
        normal = np.empty_like(xyz)
        for axis in range(3):
            normal[:, axis] = np.bincount(triangle.ravel(), np.repeat(doubled_area[:, axis], 3), len(xyz))
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        return normal / np.where(length > 0, length, 1)
    normal = normals_of(xyz, nearest(xyz, NORMAL_NEIGHBOURS)[1])
    away = np.einsum("ij,ij->i", normal, xyz - xyz.mean(axis=0)) > 0
    normal[away] *= -1
    return normal


def _labels(path: Path, vertices: int) -> NDArray[np.uint8]:
    """[N] benchmark class; 0 for other classes, including ids outside NYU40, of which ScanNet has a few."""
    columns = read_ply(path)
    if "label" not in columns or columns["label"].dtype.kind not in "iu":
        raise UserError(f"{path}: the vertices have no integer 'label', found {', '.join(columns)}")
    label = columns["label"]
    if len(label) != vertices:
        raise UserError(f"{path}: holds {len(label)} labels, but the mesh has {vertices} vertices")
    return CLASS_OF_NYU40[np.where((label < 0) | (label > 65535), 0, label)]


def read_label_table(path: Path) -> dict[str, int]:
    """Raw category -> NYU40 id, of ScanNet's `scannetv2-labels.combined.tsv`.

    Raises:
        UserError: it cannot be read, lacks a column, or holds an id that is not a number.
    """
    rows = list(csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8", "replace"), newline=""), delimiter="\t"))
    names = {}
    for number, row in enumerate(rows, 2):
        category, nyu40 = row.get("raw_category"), row.get("nyu40id")
        if category is None or nyu40 is None or not nyu40.strip().isdecimal():
            raise UserError(f"{path}: line {number}: nyu40id is {nyu40!r} and raw_category {category!r}, expected both")
        names[category.strip()] = int(nyu40)
    return names


def _labels_of_objects(path: Path, nyu40_of: Mapping[str, int], instance: NDArray[np.int32]) -> NDArray[np.uint8]:
    """[N] benchmark class of each vertex's object, from its name in the aggregation; 0 without an object."""
    label = np.zeros(len(instance), np.uint8)
    for row, group in enumerate(_groups(path)):
        name = group.get("label")
        if not isinstance(name, str):
            raise UserError(f"{path}: segGroups[{row}] has no label, expected the name of a category")
        label[instance == group["objectId"] + 1] = CLASS_OF_NYU40[nyu40_of.get(name, 0)]
    return label


def _segments(path: Path, vertices: int) -> NDArray[np.int64]:
    """[N] segment of each vertex."""
    content = read_json(path)
    found = content.get("segIndices") if isinstance(content, dict) else None
    segment = _whole_numbers(found)
    if segment is None:
        raise UserError(f"{path}: field 'segIndices' is not a list of whole numbers from 0 on")
    if len(segment) != vertices:
        raise UserError(f"{path}: segIndices has {len(segment)} values, but the mesh has {vertices} vertices")
    return segment


def _instances(path: Path, segment: NDArray[np.int64]) -> NDArray[np.int32]:
    """[N] 1 + objectId of the object whose segments contain a vertex, the last one of several; 0 for none."""
    groups = _groups(path)
    known, inverse = np.unique(segment, return_inverse=True)
    object_of = np.zeros(len(known), np.int32)
    for row, group in enumerate(groups):
        number, members = group.get("objectId"), _whole_numbers(group.get("segments"))
        if type(number) is not int or not 0 <= number < 2**31 - 1 or members is None:
            raise UserError(f"{path}: segGroups[{row}] has no objectId from 0 on, or no list of segments")
        missing = members[~np.isin(members, known)]
        if len(missing):
            raise UserError(f"{path}: segGroups[{row}] has segment {missing[0]}, which has no vertices")
        object_of[np.searchsorted(known, members)] = number + 1
    return object_of[inverse.reshape(-1)]


def _groups(path: Path) -> list[dict[str, Any]]:
    """The objects of an aggregation."""
    content = read_json(path)
    groups = content.get("segGroups") if isinstance(content, dict) else None
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise UserError(f"{path}: field 'segGroups' is {type(groups).__name__}, expected a list of objects")
    return groups


def _whole_numbers(values: Any) -> NDArray[np.int64] | None:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**62 for value in values):
        return None
    return np.array(values, np.int64)


def boxes_of(
    xyz: NDArray[np.float32], instance: NDArray[np.int32], label: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Axis-aligned boxes of the objects of the detection task's 18 classes, as in VoteNet.

    Args:
        xyz: [N, 3] metres, room frame.
        instance: [N], 0 for none.
        label: [N] benchmark class; an object has the most frequent class of its points.

    Returns:
        box [M, 9] x y z l w h yaw vx vy, and box_class [M].
    """
    boxes, classes = [], []
    order = np.argsort(instance, kind="stable")[np.count_nonzero(instance == 0) :]
    for own in np.split(order, np.flatnonzero(np.diff(instance[order])) + 1) if len(order) else ():
        name = LABEL_CLASSES[int(np.bincount(label[own]).argmax())]
        if name in BOX_CLASSES:
            low, high = xyz[own].min(axis=0), xyz[own].max(axis=0)
            boxes.append([*(0.5 * (low + high)), *np.maximum(high - low, THINNEST), 0.0, 0.0, 0.0])
            classes.append(BOX_CLASSES.index(name))
    return np.array(boxes, np.float32).reshape(-1, 9), np.array(classes, np.uint8)


def _camera(frame: RgbdFrame, room_from_world: NDArray[np.float64]) -> RgbdCamera:
    return RgbdCamera(
        *frame.size,
        frame.intrinsic,
        invert(room_from_world @ frame.world_from_camera),
        frame.depth_intrinsic,
        frame.read_depth,
    )


def _numbered(segment: NDArray[np.int64]) -> NDArray[np.int32]:
    """Segments as regions 0..R - 1."""
    return np.unique(segment, return_inverse=True)[1].reshape(-1).astype(np.int32)
