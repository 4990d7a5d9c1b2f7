"""One keyframe from what was recorded to what the cache holds: a pure function, so that it runs anywhere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from data_prep.images import decode_image
from data_prep.projection import Occlusion, pairs_of_cameras
from data_prep.reader import RawFrame
from data_prep.regions import Ground, RegionGenerator, height_above_ground
from data_prep.superpixels import ImageGenerator
from pc_ssl.data.fields import FIELDS


def frame_tensors(
    raw: RawFrame,
    ground: Ground,
    regions: Mapping[str, RegionGenerator],
    images: Mapping[str, ImageGenerator],
    occlusion: Occlusion | None = None,
) -> dict[str, NDArray]:
    """The tensors of a frame, as `pc_ssl.data.fields.FIELDS` describes them.

    Ground is found in all points. Regions are cut in the key sweep alone, as in CALICO: in merged sweeps moving objects
    leave trails; points of earlier sweeps belong to no region. Generators that want merged sweeps say so.
    Points that `occlusion` tells to be hidden from a camera are not paired with its pixels; None pairs them all.
    """
    xyz = np.ascontiguousarray(raw.points[:, :3])
    tensors: dict[str, NDArray] = {
        "points": raw.points,
        "ground": ground(xyz, raw.mount),
        "ego_pose": raw.ego_pose,
        "global_from_lidar": raw.global_from_lidar,
    }
    if raw.merges_sweeps:
        tensors["keyframe"] = np.arange(len(xyz)) < raw.key_points
    tensors |= {f"region/{name}": region for name, region in raw.region.items()}
    tensors |= region_tensors(xyz, tensors["ground"], raw.key_points, regions)
    optional = {
        "label": raw.label,
        "instance": raw.instance,
        "box": raw.box,
        "box_class": raw.box_class,
        "box_attribute": raw.box_attribute,
        "box_points": raw.box_points,
        "bev_map": raw.bev_map,
    }
    tensors |= {name: tensor for name, tensor in optional.items() if tensor is not None}
    pairs = pairs_of_cameras(raw.cameras, xyz, occlusion)
    for name in pairs:
        camera = raw.cameras[name]
        tensors[f"pixel/{name}"], tensors[f"point/{name}"] = pairs[name]
        tensors[f"image/{name}"] = np.frombuffer(raw.images[name], np.uint8)
        tensors[f"intrinsic/{name}"] = camera.intrinsic.astype(np.float32)
        tensors[f"camera_from_lidar/{name}"] = camera.camera_from_lidar.astype(np.float32)
        tensors |= label_map_tensors(raw.images[name], raw.image_names[name], name, images)
    return tensors


def region_tensors(
    xyz: NDArray[np.float32], ground: NDArray[np.bool_], key_points: int, regions: Mapping[str, RegionGenerator]
) -> dict[str, NDArray]:
    """Regions of one cloud [N, 3]; the first `key_points` rows are the key sweep."""
    tensors: dict[str, NDArray] = {}
    if not regions:
        return tensors
    height = height_above_ground(xyz, ground)
    for name, generator in regions.items():
        rows = len(xyz) if generator.over_sweeps else key_points
        region = np.full(len(xyz), -1, np.int32)
        region[:rows] = generator(xyz[:rows], ground[:rows], height[:rows])
        tensors[f"region/{name}"] = region
    return tensors


def label_map_tensors(
    content: bytes, image_name: str, camera: str, images: Mapping[str, ImageGenerator]
) -> dict[str, NDArray]:
    """Superpixels and pseudo labels of one camera's image."""
    if not images:
        return {}
    image = decode_image(content)
    maps = {}
    for name, generator in images.items():
        dtype = FIELDS[f"{generator.tensor}/"].dtype
        maps[f"{generator.tensor}/{name}/{camera}"] = generator(image, image_name).astype(dtype)
    return maps
