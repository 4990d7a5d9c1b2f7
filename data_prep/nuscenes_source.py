"""Source of one nuScenes keyframe: its files and poses, without the tables."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from data_prep.bev_map import MapElements
from data_prep.images import check_size
from data_prep.left_out import left_out
from data_prep.nuscenes_map import GRID, MAP_LAYERS
from data_prep.point_files.layout import PointLayout
from data_prep.projection import PinholeCamera
from data_prep.reader import RawFrame, Sweep
from data_prep.regions import SensorMount
from data_prep.sweeps import LAYOUT, is_return, read_sweep
from pc_ssl.errors import UserError
from pc_ssl.files import inside, read_bytes
from pc_ssl.geometry import invert, points_in_boxes, transform_from, yaw_of

Integer = TypeVar("Integer", bound=np.integer)

MOUNT = SensorMount(height=1.841, forward="y")  # LIDAR_TOP: calibrated_sensor.json
NOT_COUNTED = -1
INSTANCES = 1000  # a panoptic label is 1000 * category index + instance
NPY_HEADER = 1024  # bytes; upper bound of the header of a one-dimensional .npy file


@dataclass(frozen=True)
class SweepFile:
    """A sweep: its file below the root, [4, 4] from its frame to the key sweep's, and the time between their starts."""

    file: str
    key_from_sweep: NDArray[np.float64]
    lag_s: float


@dataclass(frozen=True)
class CameraFile:
    """A camera's image: its file below the root, its token in the table sample_data."""

    channel: str
    file: str
    token: str
    camera: PinholeCamera


@dataclass(frozen=True)
class Annotation:
    """A box of the tables: pose in the global frame [7] (position, quaternion w x y z), width, length, height,
    velocity [3] (NaN: unknown)."""

    pose: NDArray[np.float64]
    size_wlh: NDArray[np.float64]
    velocity_global: NDArray[np.float64]
    box_class: int
    attribute: int
    points: int | None  # number of returns according to the annotation; None if unknown
    unknown: tuple[str, ...] = ()  # messages about names without a class


@dataclass(frozen=True)
class NuScenesSource:
    """Reads one keyframe without the tables; the key sweep is the first of `sweeps`."""

    root: Path
    sweeps: tuple[SweepFile, ...]
    with_lag: bool
    label_file: str | None
    panoptic_file: str | None
    class_of_label: NDArray[np.int16]
    unknown_labels: Mapping[int, str]  # value of label files -> category without a class
    annotations: tuple[Annotation, ...] | None
    map_elements: Mapping[str, MapElements] | None
    ego_pose: NDArray[np.float64]
    global_from_lidar: NDArray[np.float64]
    cameras: tuple[CameraFile, ...]
    layout: PointLayout = LAYOUT

    def read(self) -> RawFrame:
        """Read the sensors' files.

        Raises:
            UserError: a file is missing or damaged.
        """
        key, *earlier = (read_sweep(inside(self.root, sweep.file), self.layout) for sweep in self.sweeps)
        kept = is_return(key)
        points = key[kept]
        said = Counter(left_out(np.concatenate([key[:, :3], *(sweep[:, :3] for sweep in earlier)])))
        label, instance = self._labels(kept, len(points), said)
        annotations = self.annotations
        box = self._boxes(annotations) if annotations is not None else None
        cameras, images = self._images(said)
        return RawFrame(
            points=points,
            label=label,
            box=box,
            box_class=_column(annotations, "box_class", np.uint8),
            ego_pose=self.ego_pose,
            global_from_lidar=self.global_from_lidar,
            cameras={camera.channel: camera.camera for camera in cameras},
            images=images,
            image_names={camera.channel: camera.token for camera in cameras},
            instance=instance,
            box_attribute=_column(annotations, "attribute", np.uint8),
            box_points=_counted(annotations, points, box, said),
            box_global=_global_boxes(annotations) if annotations is not None else None,
            bev_map=self._bev_map(),
            merges_sweeps=self.with_lag,
            mount=MOUNT,
            earlier=[
                Sweep(sweep[is_return(sweep)], file.key_from_sweep, file.lag_s)
                for sweep, file in zip(earlier, self.sweeps[1:], strict=True)
            ],
            left_out=dict(said),
        )

    def _labels(
        self, kept: NDArray[np.bool_], num_points: int, said: Counter[str]
    ) -> tuple[NDArray[np.uint8] | None, NDArray[np.int32] | None]:
        """Classes and instances [num_points] of the kept points of the key sweep; points of other sweeps have neither.

        Classes are from lidarseg, or from the panoptic file without lidarseg.
        """
        label = instance = None
        if self.panoptic_file is not None:
            path = inside(self.root, self.panoptic_file)
            panoptic = read_panoptic(path, len(kept))
            instance = np.zeros(num_points, np.int32)
            instance[: kept.sum()] = np.where(panoptic % INSTANCES == 0, 0, panoptic)[kept]
            if self.label_file is None:
                label = self._classes(path, panoptic // INSTANCES, kept, num_points, said)
        if self.label_file is not None:
            path = inside(self.root, self.label_file)
            label = self._classes(path, np.frombuffer(read_bytes(path), np.uint8), kept, num_points, said)
        return label, instance

    def _classes(
        self, path: Path, value: NDArray[np.integer], kept: NDArray[np.bool_], num_points: int, said: Counter[str]
    ) -> NDArray[np.uint8]:
        if len(value) != len(kept):
            raise UserError(f"{path}: holds {len(value)} labels, but the sweep has {len(kept)} points")
        classes = self.class_of_label[value]
        if (classes < 0).any():
            unknown = value[classes < 0][0]
            raise UserError(f"{path}: holds label {unknown}, which is not an index in category.json")
        for index, category in self.unknown_labels.items():
            count = int((value == index).sum())
            if count:
                said[f"points of the unknown category {category!r}, ignored"] += count
        label = np.zeros(num_points, np.uint8)
        label[: kept.sum()] = classes[kept]
        return label

    def _boxes(self, annotations: Sequence[Annotation]) -> NDArray[np.float32]:
        """[M, 9] x y z l w h yaw vx vy in the LiDAR frame."""
        lidar_from_global = invert(self.global_from_lidar)
        box = np.empty((len(annotations), 9), np.float32)
        for row, annotation in zip(box, annotations, strict=True):
            lidar_from_box = lidar_from_global @ transform_from(annotation.pose[3:], annotation.pose[:3])
            width, length, height = annotation.size_wlh
            velocity = lidar_from_global[:3, :3] @ annotation.velocity_global
            row[:] = (*lidar_from_box[:3, 3], length, width, height, yaw_of(lidar_from_box), *velocity[:2])
        return box

    def _bev_map(self) -> NDArray[np.bool_] | None:
        """[K, rows, columns], K as in MAP_LAYERS."""
        if self.map_elements is None:
            return None
        x, y = self.global_from_lidar[:2, 3].tolist()
        yaw = yaw_of(self.global_from_lidar)
        return np.stack([GRID.rasterize(self.map_elements[name], (x, y), yaw) for name in MAP_LAYERS])

    def _images(self, said: Counter[str]) -> tuple[list[CameraFile], dict[str, bytes]]:
        """The cameras with an image, and the files; cameras without are counted."""
        cameras, images = [], {}
        for camera in self.cameras:
            path = inside(self.root, camera.file)
            if not path.is_file():
                said[f"images of {camera.channel}, without a file"] += 1
                continue
            content = read_bytes(path)
            check_size(path, content, camera.camera.width, camera.camera.height)
            cameras.append(camera)
            images[camera.channel] = content
        return cameras, images


def _counted(
    annotations: Sequence[Annotation] | None,
    points: NDArray[np.float32],
    box: NDArray[np.float32] | None,
    said: Counter[str],
) -> NDArray[np.int32] | None:
    """[M] number of returns in each box, counted in the key sweep if not annotated; counts unknown and empty boxes."""
    if annotations is None or box is None:
        return None
    counts = np.array([NOT_COUNTED if one.points is None else one.points for one in annotations], np.int32)
    for reason in chain.from_iterable(one.unknown for one in annotations):
        said[f"{reason}; name it in a file for --classes"] += 1
    own = counts == NOT_COUNTED
    if own.any():
        counts[own] = points_in_boxes(points[:, :3], box[own]).sum(axis=1)
        said["boxes without a count of points, counted here"] += int(own.sum())
    if (counts == 0).any():
        said["boxes without points, left out of training"] += int((counts == 0).sum())
    return counts


def _global_boxes(annotations: Sequence[Annotation]) -> NDArray[np.float64]:
    """[M, 12] x y z w l h, quaternion w x y z, vx vy in the global frame."""
    rows = [(*box.pose[:3], *box.size_wlh, *box.pose[3:], *box.velocity_global[:2]) for box in annotations]
    return np.array(rows, np.float64).reshape(-1, 12)


def _column(annotations: Sequence[Annotation] | None, name: str, dtype: type[Integer]) -> NDArray[Integer] | None:
    return None if annotations is None else np.array([getattr(box, name) for box in annotations], dtype)


def read_panoptic(path: Path, num_points: int) -> NDArray[np.uint16]:
    """Read a nuScenes-panoptic file: [num_points] uint16, 1000 * category index + instance (0: none).

    Raises:
        UserError: the file is missing or damaged, or holds another number of values.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            size = archive.getinfo("data.npy").file_size
            if size > 2 * num_points + NPY_HEADER:
                raise UserError(f"{path}: data.npy has {size} bytes, too many for {num_points} points")
            with archive.open("data.npy") as file:
                value = np.lib.format.read_array(file, allow_pickle=False)
    except UserError:
        raise
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"{path}: not readable as an .npz file with 'data' ({error})") from None
    if value.dtype != np.uint16 or value.shape != (num_points,):
        raise UserError(
            f"{path}: data is {value.dtype} of shape {list(value.shape)}, expected uint16, one for each of the "
            f"{num_points} points"
        )
    return value
