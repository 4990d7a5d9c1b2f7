"""KITTI's 3D object benchmark: a short reader, as an example for other data sets.

    ROOT/training/velodyne/000000.bin, image_2/000000.png, calib/000000.txt, label_2/000000.txt
    ROOT/testing/...                    the same without label_2
    ROOT/ImageSets/train.txt, ...       numbers of frames; "test" refers to testing, the others to training

Frames are from shuffled drives, so each is a separate scene. Format: the development kit's readme.txt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.file_order import natural_order
from data_prep.folder_source import CameraFile, FolderSource
from data_prep.point_files.layout import XYZ, PointLayout
from data_prep.poses import pinhole, rigid
from data_prep.reader import FrameName, RawFrame, of_split
from data_prep.regions import SensorMount
from pc_ssl.data.cache import IGNORE
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes
from pc_ssl.geometry import apply, invert
from pc_ssl.taxonomies import KITTI

BOX_CLASSES = list(KITTI.box_classes)
REGION_WITHOUT_BOXES = "DontCare"
LAYOUT = PointLayout()
PARTS = ("training", "testing")
CAMERA = "image_2"  # the left colour camera
MOUNT = SensorMount(height=1.73, forward="x")  # Geiger et al., "Vision meets Robotics", IJRR 2013
FIELDS = 15  # per line of label_2


@dataclass(frozen=True)
class KittiSource:
    """One frame; `part` is the folder training or testing, `layout` that of the point files."""

    part: Path
    number: str
    layout: PointLayout = LAYOUT

    def read(self) -> RawFrame:
        """Points with the reflectance as intensity, and, if present, the left colour image and the boxes.

        Image and boxes require the frame's calibration.

        Raises:
            UserError: a file is missing or damaged.
        """
        file = self.part / "velodyne" / f"{self.number}.bin"
        if not (self.part / "calib").is_dir():  # required for image and boxes
            return replace(FolderSource(file, self.layout, np.eye(4), ()).read(), mount=MOUNT)
        calib = self.part / "calib" / f"{self.number}.txt"
        intrinsic, camera_from_rectified, rectified_from_lidar = read_calibration(calib)
        image = self.part / CAMERA / f"{self.number}.png"
        camera = CameraFile(CAMERA, image, intrinsic, camera_from_rectified @ rectified_from_lidar)
        cameras = (camera,) if image.is_file() else ()
        raw = replace(FolderSource(file, self.layout, np.eye(4), cameras).read(), mount=MOUNT)
        if not cameras and image.parent.is_dir():
            raw = replace(raw, left_out={**raw.left_out, f"images of {CAMERA}, without a file": 1})
        if not (self.part / "label_2").is_dir():
            return raw
        box, box_class = read_boxes(self.part / "label_2" / f"{self.number}.txt", invert(rectified_from_lidar))
        return replace(raw, box=box, box_class=box_class)


@dataclass(frozen=True)
class KittiReader:
    """Reads a data root in KITTI's format; points of converted data sets may have further columns.

    Raises:
        UserError: the root is not KITTI's.
    """

    root: Path
    layout: PointLayout = LAYOUT

    def __post_init__(self) -> None:
        if not any((self.root / part / "velodyne").is_dir() for part in PARTS):
            raise UserError(
                f"{self.root}: has neither training/velodyne nor testing/velodyne, expected a root of KITTI"
            )

    def options(self) -> dict[str, Any]:
        changed = self.layout.changes(LAYOUT)
        return {"dataset": "kitti", "version": "object", "columns": list(self.columns()), **changed}

    def classes(self) -> dict[str, list[str]]:
        return {"label": [IGNORE], "box": BOX_CLASSES}

    def columns(self) -> tuple[str, ...]:
        return (*XYZ, *self.layout.features)

    def splits(self) -> dict[str, list[str]]:
        lists = sorted((self.root / "ImageSets").glob("*.txt"))
        parts = {path.stem: PARTS[path.stem == "test"] for path in lists}
        return {
            path.stem: [f"{parts[path.stem]}_{number}" for number in read_bytes(path).decode("latin-1").split()]
            for path in lists
        }

    def absent(self) -> list[str]:
        missing = [f"{part} (its frames)" for part in PARTS if not (self.root / part / "velodyne").is_dir()]
        for part in PARTS:
            if (self.root / part / "velodyne").is_dir():
                needed = {"calib": "no images, no boxes", CAMERA: "no images"}
                needed |= {"label_2": "no boxes"} if part == "training" else {}
                missing += [
                    f"{part}/{name} ({what})" for name, what in needed.items() if not (self.root / part / name).is_dir()
                ]
        return missing if self.splits() else [*missing, "ImageSets (no splits)"]

    def frames(self, split: str | None) -> list[FrameName]:
        scenes = [
            f"{part}_{path.stem}"
            for part in PARTS
            for path in natural_order((self.root / part / "velodyne").glob("*.bin"))
        ]
        if not scenes:
            raise UserError(f"{self.root}: no frames found")
        return [FrameName(scene, scene, 0) for scene in of_split(self, split, scenes, self.root)]

    def source(self, frame: FrameName) -> KittiSource:
        part, _, number = frame.scene.partition("_")
        return KittiSource(self.root / part, number, self.layout)


def read_calibration(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """intrinsic [3, 3], camera_from_rectified [4, 4] and rectified_from_lidar [4, 4] of the left colour camera.

    P2 = intrinsic [rotation 1 | shift]; rectified = R0_rect Tr_velo_to_cam lidar.

    Raises:
        UserError: the file is missing, or lacks a matrix.
    """
    rows: dict[str, list[float]] = {}
    for line in read_bytes(path).decode("latin-1").splitlines():
        name, _, values = line.partition(":")
        try:
            rows[name] = [float(value) for value in values.split()]
        except ValueError:
            raise UserError(f"{path}: {name[:40]!r} is not followed by numbers") from None
    for name, count in (("P2", 12), ("R0_rect", 9), ("Tr_velo_to_cam", 12)):
        if len(rows.get(name, ())) != count:
            raise UserError(f"{path}: has no {name!r} of {count} numbers")
    projection, rectify = np.array(rows["P2"]).reshape(3, 4), np.zeros((3, 4))
    intrinsic = pinhole(path, "P2", projection)
    rectify[:, :3] = np.array(rows["R0_rect"]).reshape(3, 3)
    shift = np.column_stack([np.eye(3), np.linalg.solve(intrinsic, projection[:, 3])])
    rectified_from_lidar = rigid(path, "R0_rect", rectify) @ rigid(path, "Tr_velo_to_cam", rows["Tr_velo_to_cam"])
    return intrinsic, rigid(path, "P2", shift), rectified_from_lidar


def read_boxes(path: Path, lidar_from_rectified: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """box [M, 9] x y z l w h yaw vx vy in the LiDAR frame (velocity unknown: NaN) and box_class [M].

    A line holds type, truncation, occlusion, alpha, the 2D box (4), height, width, length, the centre of the lower face
    x y z and the rotation about y, in the rectified camera frame: x right, y down, z forward; rotation 0 is along x.

    Raises:
        UserError: the file is missing, or a line does not have this format.
    """
    boxes, classes = [], []
    for number, line in enumerate(read_bytes(path).decode("latin-1").splitlines(), 1):
        kind, *words = line.split() or [REGION_WITHOUT_BOXES]
        if kind == REGION_WITHOUT_BOXES:
            continue
        try:
            values = np.array([float(word) for word in words])
        except ValueError:
            values = np.empty(0)
        if kind not in BOX_CLASSES or len(values) < FIELDS - 1 or not (np.abs(values) < 1e6).all():
            raise UserError(
                f"{path}: line {number}: expected a type ({', '.join(BOX_CLASSES)}) and {FIELDS - 1} numbers"
            )
        (height, width, length), (x, y, z), turn = values[7:10], values[10:13], values[13]
        if min(height, width, length) <= 0:
            raise UserError(f"{path}: line {number} has a box of {height} x {width} x {length} m")
        centre = apply(lidar_from_rectified, np.array([[x, y - 0.5 * height, z]]))[0]
        along = lidar_from_rectified[:3, :3] @ [np.cos(turn), 0.0, -np.sin(turn)]
        boxes.append([*centre, length, width, height, np.arctan2(along[1], along[0]), np.nan, np.nan])
        classes.append(BOX_CLASSES.index(kind))
    return np.array(boxes, np.float32).reshape(-1, 9), np.array(classes, np.uint8)
