"""The tensors of a cached keyframe: names, dtypes, shapes, units, coordinate frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """Dtype and shape of a frame's tensor; equal letters in shapes are equal lengths within one frame.

    N points, C columns of a point, M boxes, K map classes, H rows, W columns; under one camera: B bytes, P point-pixel
    pairs, H rows, W columns.
    """

    dtype: str
    shape: tuple[int | str, ...]


# A name that ends with "/" is the prefix of one tensor per region generator or camera: region/dbscan, image/CAM_FRONT,
# superpixel/slic/CAM_FRONT.
FIELDS: dict[str, Field] = {
    # x y z [m, LiDAR or room frame], then the features of the manifest's "columns": intensity [0, 1] and, if sweeps
    # are merged, time [s], the lag behind the keyframe
    "points": Field("float32", ("N", "C")),
    "keyframe": Field("bool", ("N",)),  # True: the keyframe's sweep; only if sweeps are merged, else all are
    "ground": Field("bool", ("N",)),
    "region/": Field("int32", ("N",)),  # 0..R-1, -1 none; of a generator or of the data set
    "label": Field("uint8", ("N",)),  # index into classes["label"], 0 ignore
    "instance": Field("int32", ("N",)),  # object number of the point, 0 none
    "box": Field("float32", ("M", 9)),  # x y z l w h [m] yaw [rad] vx vy [m/s], LiDAR frame; velocity NaN: unknown
    # the recorded box, global frame: x y z w l h [m] quaternion w x y z, vx vy [m/s] (NaN: unknown); for evaluation,
    # as "box" is rounded and without the sensor's pitch and roll
    "box_global": Field("float64", ("M", 12)),
    "box_class": Field("uint8", ("M",)),  # index into classes["box"]
    "box_attribute": Field("uint8", ("M",)),  # index into classes["attribute"], 0 none
    "box_points": Field("int32", ("M",)),  # annotated number of LiDAR and radar returns in each box
    "bev_map": Field("bool", ("K", "H", "W")),  # classes["map"], LiDAR frame from above; first row: lowest y, column: x
    "ego_pose": Field("float64", (4, 4)),  # global_from_ego at the time of the LiDAR
    "global_from_lidar": Field("float64", (4, 4)),
    "image/": Field("uint8", ("B",)),  # content of the recorded image file (JPEG, PNG)
    "intrinsic/": Field("float32", (3, 3)),
    "camera_from_lidar/": Field("float32", (4, 4)),  # through the global frame, each sensor at its time
    "pixel/": Field("float32", ("P", 2)),  # u v: column, row
    "point/": Field("int32", ("P",)),  # row of `points` seen at that pixel
    "superpixel/": Field("int32", ("H", "W")),  # generator/camera; 0..S-1, -1 none; of the image's size
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
    """Compare tensors, name -> (dtype, shape), with FIELDS; one sentence per problem."""
    problems: list[str] = []
    lengths: dict[tuple[str, str], int] = {}
    for key in sorted(found):
        dtype, shape = found[key]
        field = field_of(key)
        if field is None:
            problems.append(f"{key} is not a tensor of a frame")
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
