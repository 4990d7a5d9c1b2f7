"""One keyframe from what was recorded to what the cache holds: a pure function, so that it runs anywhere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from data_prep.images import decode_jpeg
from data_prep.reader import RawFrame
from data_prep.regions import Ground, RegionGenerator
from data_prep.superpixels import ImageGenerator
from pc_ssl.data.cache import FIELDS


def frame_tensors(
    raw: RawFrame,
    ground: Ground,
    regions: Mapping[str, RegionGenerator],
    images: Mapping[str, ImageGenerator],
) -> dict[str, NDArray]:
    """The tensors of a frame, as `pc_ssl.data.cache.FIELDS` describes them.

    Ground is found in all points. Regions are cut in the key sweep alone, as in CALICO: in merged sweeps moving objects
    leave trails; points of earlier sweeps belong to no region. Generators that want merged sweeps say so.
    """
    xyz = np.ascontiguousarray(raw.points[:, :3])
    key = raw.key_points
    tensors: dict[str, NDArray] = {
        "points": raw.points,
        "ground": ground(xyz),
        "ego_pose": raw.ego_pose,
        "global_from_lidar": raw.global_from_lidar,
    }
    for name, generator in regions.items():
        rows = len(xyz) if generator.over_sweeps else key
        region = np.full(len(xyz), -1, np.int32)
        region[:rows] = generator(xyz[:rows], tensors["ground"][:rows])
        tensors[f"region/{name}"] = region
    if raw.label is not None:
        tensors["label"] = raw.label
    if raw.box is not None and raw.box_class is not None:
        tensors["box"], tensors["box_class"] = raw.box, raw.box_class
    for name, camera in raw.cameras.items():
        tensors[f"pixel/{name}"], tensors[f"point/{name}"] = camera.pairs(xyz)
        tensors[f"image/{name}"] = np.frombuffer(raw.images[name], np.uint8)
        tensors[f"intrinsic/{name}"] = camera.intrinsic.astype(np.float32)
        tensors[f"camera_from_lidar/{name}"] = camera.camera_from_lidar.astype(np.float32)
        tensors |= _label_maps(raw, name, images)
    return tensors


def _label_maps(raw: RawFrame, camera: str, images: Mapping[str, ImageGenerator]) -> dict[str, NDArray]:
    """Superpixels and pseudo labels of one camera's image."""
    if not images:
        return {}
    image = decode_jpeg(raw.images[camera])
    maps = {}
    for name, generator in images.items():
        dtype = FIELDS[f"{generator.tensor}/"].dtype
        maps[f"{generator.tensor}/{name}/{camera}"] = generator(image, raw.image_names[camera]).astype(dtype)
    return maps
