"""Fields of nuScenes' tables that preparation reads, and their valid values.

A table's `x_token` is the token of a record of table x. Lyft's tables have the same format, except time stamps
with fractions, null for width and height of LiDAR recordings, and missing counts of points.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Vector3 = tuple[float, float, float]
Vector4 = tuple[float, float, float, float]
TimeUs = Annotated[float, Meta(ge=0, le=2**53)]  # integers up to this are exact
Pixels = Annotated[int, Meta(ge=0, lt=2**31)]
Count = Annotated[int, Meta(ge=-(2**30), lt=2**30)]

EXPECTED = {
    "timestamp": "microseconds",
    "index": "a whole number in 0..255",
    "is_key_frame": "true or false",
    "translation": "3 numbers",
    "rotation": "4 numbers",
    "size": "3 numbers",
    "camera_intrinsic": "3 rows of 3 numbers, or none",
    "attribute_tokens": "a list of strings",
    **dict.fromkeys(("width", "height", "num_lidar_pts", "num_radar_pts"), "a whole number"),
}


class Category(msgspec.Struct, gc=False):
    token: str
    name: str
    index: Annotated[int, Meta(ge=0, lt=256)] | None = None  # part of nuScenes-lidarseg and -panoptic


class Attribute(msgspec.Struct, gc=False):
    token: str
    name: str


class Instance(msgspec.Struct, gc=False):
    token: str
    category_token: str


class Sensor(msgspec.Struct, gc=False):
    token: str
    channel: str
    modality: str


class CalibratedSensor(msgspec.Struct):
    token: str
    sensor_token: str
    translation: Vector3
    rotation: Vector4
    camera_intrinsic: list[Vector3]


class EgoPose(msgspec.Struct, gc=False):
    token: str
    translation: Vector3
    rotation: Vector4


class Log(msgspec.Struct, gc=False):
    token: str
    location: str


class Scene(msgspec.Struct, gc=False):
    token: str
    name: str
    log_token: str


class Sample(msgspec.Struct, gc=False):
    token: str
    scene_token: str
    timestamp: TimeUs


class SampleData(msgspec.Struct, gc=False):
    token: str
    sample_token: str
    ego_pose_token: str
    calibrated_sensor_token: str
    timestamp: TimeUs
    filename: str
    is_key_frame: bool
    prev: str
    width: Pixels | None = None
    height: Pixels | None = None


class SampleAnnotation(msgspec.Struct, gc=False):
    token: str
    sample_token: str
    instance_token: str
    translation: Vector3
    size: Vector3
    rotation: Vector4
    prev: str
    next: str
    attribute_tokens: list[str]
    num_lidar_pts: Count = -1
    num_radar_pts: Count = 0


class LabelFile(msgspec.Struct, gc=False):
    sample_data_token: str
    filename: str


TABLES: dict[str, type[msgspec.Struct]] = {
    "category": Category,
    "attribute": Attribute,
    "instance": Instance,
    "sensor": Sensor,
    "calibrated_sensor": CalibratedSensor,
    "ego_pose": EgoPose,
    "log": Log,
    "scene": Scene,
    "sample": Sample,
    "sample_data": SampleData,
    "sample_annotation": SampleAnnotation,
    "lidarseg": LabelFile,
    "panoptic": LabelFile,
}
OPTIONAL = ("lidarseg", "panoptic")
