"""What tensors a keyframe of a cache holds: names, dtypes, shapes, units, frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """What a frame's tensor must be: letters in the shape stand for lengths that are equal within one frame.

    N points, C columns of a point, M boxes, K map classes, H rows, W columns; under one camera: B bytes, P point-pixel
    pairs, H rows, W columns.
    """

    dtype: str
    shape: tuple[int | str, ...]


# A name that ends in "/" stands for one tensor per region generator or camera: region/dbscan, image/CAM_FRONT,
# superpixel/slic/CAM_FRONT.
FIELDS: dict[str, Field] = {
    # x y z [m, LiDAR or room frame], then features that the manifest's "columns" names: intensity [0, 1] and, if sweeps
    # are merged, time [s], the lag behind the keyframe
    "points": Field("float32", ("N", "C")),
    "keyframe": Field("bool", ("N",)),  # True: the keyframe's own sweep; only where sweeps are merged, else all are
    "ground": Field("bool", ("N",)),
    "region/": Field("int32", ("N",)),  # 0..R-1, -1 none; by a generator, or the data set's own
    "label": Field("uint8", ("N",)),  # index into classes["label"], 0 ignore
    "instance": Field("int32", ("N",)),  # number of the object that the point belongs to, 0 none
    "box": Field("float32", ("M", 9)),  # x y z l w h [m] yaw [rad] vx vy [m/s], LiDAR frame; velocity NaN: unknown
    # the recorded box, global frame: x y z w l h [m] quaternion w x y z, vx vy [m/s] (NaN: unknown); for evaluation,
    # which pitch and roll of the sensor and the rounding of "box" would change
    "box_global": Field("float64", ("M", 12)),
    "box_class": Field("uint8", ("M",)),  # index into classes["box"]
    "box_attribute": Field("uint8", ("M",)),  # index into classes["attribute"], 0 none
    "box_points": Field("int32", ("M",)),  # returns of LiDAR and radar in each box, as its annotators counted them
    "bev_map": Field("bool", ("K", "H", "W")),  # classes["map"], LiDAR frame from above; first row: lowest y, column: x
    "ego_pose": Field("float64", (4, 4)),  # global_from_ego at the time of the LiDAR
    "global_from_lidar": Field("float64", (4, 4)),
    "image/": Field("uint8", ("B",)),  # the image file's bytes as they were recorded (JPEG, PNG)
    "intrinsic/": Field("float32", (3, 3)),
    "camera_from_lidar/": Field("float32", (4, 4)),  # through the global frame, each sensor at its own time
    "pixel/": Field("float32", ("P", 2)),  # u v: column, row
    "point/": Field("int32", ("P",)),  # row of `points` seen at that pixel
    "superpixel/": Field("int32", ("H", "W")),  # generator/camera; 0..S-1, -1 none; as large as the image
    "pseudo_label/": Field("uint8", ("H", "W")),  # generator/camera; index into classes["label"], 0 ignore
}
REQUIRED = ("points", "ground", "ego_pose", "global_from_lidar")
PER_CAMERA = ("image/", "intrinsic/", "camera_from_lidar/", "pixel/", "point/")
PER_IMAGE = ("superpixel/", "pseudo_label/")  # one per generator and camera; in the file as PNG (label_maps.py)


def field_of(key: str) -> Field | None:
    """The rule for a tensor's name; None if the format has no such tensor."""
    head, slash, name = key.partition("/")
    return FIELDS.get(head + slash) if bool(slash) == bool(name) else None


def shape_problems(found: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[str]:
    """Compare tensors, name -> (dtype, shape), with FIELDS; one sentence per contradiction."""
    problems: list[str] = []
    lengths: dict[tuple[str, str], int] = {}
    for key in sorted(found):
        dtype, shape = found[key]
        field = field_of(key)
        if field is None:
            problems.append(f"{key} is no tensor of a frame")
            continue
        if dtype != field.dtype:
            problems.append(f"{key} is {dtype}, expected {field.dtype}")
        camera = key.rpartition("/")[2] if key.startswith(PER_CAMERA + PER_IMAGE) else ""
        expected = tuple(
            size if isinstance(size, int) else lengths.setdefault((size, camera), found_size)
            for size, found_size in zip(field.shape, shape, strict=False)
        )
        if len(shape) != len(field.shape) or shape != expected:
            wanted = ", ".join(str(size) for size in field.shape)
            known = {letter: length for (letter, of), length in lengths.items() if of == camera}
            problems.append(f"{key} has shape {list(shape)}, expected [{wanted}] with {known}")
        elif key == "points" and shape[1] < 3:
            problems.append(f"points has {shape[1]} columns, expected at least x, y, z")
    return problems
