"""The stages that make a frame of the cache from a recorded keyframe.

Read, merge sweeps, ground, regions, image segments, point-pixel pairs, encode:

    stages = choose_stages(("dbscan", "slic"))                # options.py
    content = stages.encode(stages(source.read()))

Each stage is a small frozen dataclass: its fields are set by `--set` and recorded in the cache's manifest. All are
pure functions, so that they run in any process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.merge import merge_sweeps
from data_prep.projection import Occlusion, PinholeCamera, pairs_of_cameras
from data_prep.reader import RawFrame
from data_prep.regions import GROUNDS, Ground, RegionGenerator, SensorMount, height_above_ground
from data_prep.superpixels import SUPERPIXELS, ImageGenerator
from pc_ssl.data.cache import encode_frame
from pc_ssl.data.fields import FIELDS
from pc_ssl.data.images import decode_image


@dataclass(frozen=True)
class ReadStage:
    """Selection of frames.

    Args:
        split: name of a split of the data set; None reads all frames.
    """

    split: str | None = None


@dataclass(frozen=True)
class MergeStage:
    """Adds the reader's earlier sweeps in the frame of the key sweep.

    Labels, instances and regions of the data set belong to the key sweep; points of earlier sweeps have none.
    """

    def __call__(self, raw: RawFrame) -> RawFrame:
        """The frame with all points in `points`, those of the key sweep first."""
        if not raw.merges_sweeps:
            return raw
        points = merge_sweeps(raw.points, raw.earlier)
        more = len(points) - len(raw.points)
        return replace(
            raw,
            points=points,
            earlier=(),
            label=None if raw.label is None else np.pad(raw.label, (0, more)),
            instance=None if raw.instance is None else np.pad(raw.instance, (0, more)),
            region={name: np.pad(region, (0, more), constant_values=-1) for name, region in raw.region.items()},
        )


@dataclass(frozen=True)
class PairStage:
    """Pairs points with their pixels.

    Args:
        occlusion: drops pairs of occluded points; None keeps them, as SLidR does.
    """

    occlusion: Occlusion | None = None

    def __call__(self, raw: RawFrame) -> dict[str, NDArray]:
        """Images, calibration and pairs of each camera."""
        tensors: dict[str, NDArray] = {}
        pairs = pairs_of_cameras(raw.cameras, np.ascontiguousarray(raw.points[:, :3]), self.occlusion)
        for name, (pixel, point) in pairs.items():  # without cameras whose depth image is damaged
            camera = raw.cameras[name]
            tensors[f"pixel/{name}"], tensors[f"point/{name}"] = pixel, point
            tensors[f"image/{name}"] = np.frombuffer(raw.images[name], np.uint8)
            tensors[f"intrinsic/{name}"] = camera.intrinsic.astype(np.float32)
            tensors[f"camera_from_lidar/{name}"] = camera.camera_from_lidar.astype(np.float32)
        return tensors


@dataclass(frozen=True)
class EncodeStage:
    """Encodes the tensors of a frame as its file."""

    def __call__(self, tensors: Mapping[str, NDArray]) -> bytes:
        return encode_frame(tensors)


@dataclass(frozen=True)
class Stages:
    """All stages of a frame. Small and picklable.

    Args:
        ground: labels ground in all points of the frame.
        regions: name in the cache -> generator of regions. Regions are computed in the key sweep, as in CALICO, because
            moving objects leave trails in merged sweeps, or in all sweeps for generators with `over_sweeps`.
        images: name in the cache -> generator of segments or pseudo labels of each image.
    """

    read: ReadStage = ReadStage()
    merge: MergeStage = MergeStage()
    ground: Ground = GROUNDS["strips"]
    regions: Mapping[str, RegionGenerator] = field(default_factory=dict)
    images: Mapping[str, ImageGenerator] = field(default_factory=dict)
    pairs: PairStage = PairStage()
    encode: EncodeStage = EncodeStage()

    def __call__(self, raw: RawFrame) -> dict[str, NDArray]:
        """The tensors of a frame, see `pc_ssl.data.fields.FIELDS`."""
        merged = self.merge(raw)
        xyz = np.ascontiguousarray(merged.points[:, :3])
        tensors: dict[str, NDArray] = {
            "points": merged.points,
            "ground": self.ground(xyz, raw.mount),
            "ego_pose": raw.ego_pose,
            "global_from_lidar": raw.global_from_lidar,
        }
        if raw.merges_sweeps:
            tensors["keyframe"] = np.arange(len(xyz)) < len(raw.points)
        tensors |= {f"region/{name}": region for name, region in merged.region.items()}
        tensors |= self.cut(xyz, tensors["ground"], len(raw.points))
        optional = {
            "label": merged.label,
            "instance": merged.instance,
            "box": raw.box,
            "box_class": raw.box_class,
            "box_attribute": raw.box_attribute,
            "box_points": raw.box_points,
            "box_global": raw.box_global,
            "bev_map": raw.bev_map,
        }
        tensors |= {name: tensor for name, tensor in optional.items() if tensor is not None}
        seen = self.pairs(merged)
        tensors |= seen
        for name in raw.cameras:
            if f"image/{name}" in seen:
                tensors |= self.segment(raw.images[name], raw.image_names[name], name)
        return tensors

    def cut(self, xyz: NDArray[np.float32], ground: NDArray[np.bool_], key_points: int) -> dict[str, NDArray]:
        """Regions of one cloud [N, 3]; the first `key_points` rows are the key sweep."""
        tensors: dict[str, NDArray] = {}
        if not self.regions:
            return tensors
        height = height_above_ground(xyz, ground)
        for name, generator in self.regions.items():
            rows = len(xyz) if generator.over_sweeps else key_points
            region = np.full(len(xyz), -1, np.int32)
            region[:rows] = generator(xyz[:rows], ground[:rows], height[:rows])
            tensors[f"region/{name}"] = region
        return tensors

    def segment(self, content: bytes, image_name: str, camera: str) -> dict[str, NDArray]:
        """Superpixels and pseudo labels of one camera's image."""
        if not self.images:
            return {}
        image = decode_image(np.frombuffer(content, np.uint8))
        maps = {}
        for name, generator in self.images.items():
            dtype = FIELDS[f"{generator.tensor}/"].dtype
            maps[f"{generator.tensor}/{name}/{camera}"] = generator(image, image_name).astype(dtype)
        return maps

    def options(self) -> dict[str, Any]:
        """The options recorded in the manifest: every field that determines the bytes."""
        ground = next((name for name, known in GROUNDS.items() if type(known) is type(self.ground)), "")
        written: dict[str, Any] = {
            "split": self.read.split,
            "ground": {"kind": ground, **asdict(self.ground)},
            "regions": {name: {"kind": type(of).__name__, **asdict(of)} for name, of in self.regions.items()},
            "images": {
                name: {"kind": type(of).__name__, "tensor": of.tensor, **asdict(of)} for name, of in self.images.items()
            },
        }
        if (
            self.pairs.occlusion is not None
        ):  # recorded only if set, so that older caches without this option remain valid
            written["occlusion"] = asdict(self.pairs.occlusion)
        return written

    def compile(self) -> None:
        """Run the kernels once, so that workers load them from the disk instead of compiling them."""
        xyz = np.zeros((100, 3), np.float32)  # enough points for the ground methods
        self.cut(xyz, ~self.ground(xyz, SensorMount()), len(xyz))
        pairs_of_cameras({"": PinholeCamera(64, 48, np.eye(3), np.eye(4))}, xyz, self.pairs.occlusion)
        for generator in self.images.values():
            if type(generator) in map(
                type, SUPERPIXELS.values()
            ):  # generators with a folder have no file for this image
                generator(np.zeros((48, 64, 3), np.uint8), "")
