"""Frames of a cache as scenes and training samples, used by training and evaluation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pc_ssl.data.cache import MANIFEST, Cache, Frame
from pc_ssl.data.images import decode_image
from pc_ssl.data.requirements import check_frames
from pc_ssl.data.sampler import Draw, TooSmall
from pc_ssl.errors import UserError
from pc_ssl.geometry import BevGrid
from pc_ssl.protocols import SceneTransform, Views
from pc_ssl.structures import Boxes3D, Camera, Scene

# What views and transforms may request besides points and regions, by the names in their `reads`.
LABEL, BOXES, CAMERAS, BEV_MAP, GROUND = "label", "boxes", "cameras", "bev_map", "ground"
VISIBLE = "visible"  # the points that are seen in each image, without the images
PAIRS = "pairs"  # of points and pixels; read with cameras
SUPERPIXEL, PSEUDO_LABEL = "superpixel/", "pseudo_label/"  # followed by the generator's name; read with cameras
NEIGHBOUR = "neighbour/"  # followed by the number of keyframes to the neighbour in the same scene


def check_point_features(cache: Cache, expected: int) -> None:
    """Check that the points of the cache have as many features besides x, y, z as a network expects.

    Raises:
        UserError: they do not.
    """
    columns = cache.columns
    if len(columns) - 3 != expected:
        raise UserError(
            f"{cache.path / MANIFEST}: points have {len(columns) - 3} features in addition to x, y, z "
            f"({', '.join(columns[3:]) or 'none'}), but the backbone's point_features is {expected}; columns of the "
            f"cache: {', '.join(columns)}; a cache prepared with --sweeps above 1 also has the time lag"
        )


class CacheScenes(Dataset):
    """Reads a frame, only the requested tensors, transforms it, and gives views of it.

    `dataset[draw]` is a function of the frame and the draw; `dataset.scene(row)` is the recorded frame, without boxes
    that have no returns.

    Args:
        cache: the cache of the frames.
        indices: frames of the cache, in the order of the rows of this data set.
        region: name of the region generator; None: regions are not read, and every point has region -1.
        views: makes a sample of (scene, generator, grids); `reads` lists further tensors that it needs:
            "label", "boxes", "cameras", "pairs", "visible", "bev_map", "ground", "superpixel/NAME",
            "pseudo_label/NAME", "neighbour/K".
        transforms: applied to the scene, in this order, before the views; also applied to a neighbour.
        grids: grids of the networks, passed to the views.
        min_points: a draw of a frame with fewer points in any grid raises `TooSmall`.

    Raises:
        UserError: there are no frames, or a frame lacks a required tensor.
    """

    def __init__(
        self,
        cache: Cache,
        indices: Sequence[int],
        region: str | None,
        views: Views,
        transforms: Sequence[SceneTransform] = (),
        grids: Sequence[BevGrid] = (),
        min_points: int = 0,
    ) -> None:
        if not indices:
            raise UserError(f"{cache.path}: no frames to train on")
        self.cache, self.indices, self.views, self.grids = cache, tuple(indices), views, tuple(grids)
        self.min_points = min_points
        self.region_key = None if region is None else f"region/{region}"
        self.reads = views.reads.union(*(transform.reads for transform in transforms))
        apart = [int(name.removeprefix(NEIGHBOUR)) for name in self.reads if name.startswith(NEIGHBOUR)]
        self.neighbours = neighbours_of(cache, self.indices, apart[0]) if apart else None
        options = cache.manifest.options.get("bev_map")
        self.bev_map_reach = float(options["reach"]) if isinstance(options, dict) else 0.0
        check_frames(cache, self.indices, partial(needed_tensors, self.reads, region))
        self.transforms = tuple(transform.over(cache, self.indices) for transform in transforms)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, draw: Draw) -> Any:
        """The views of a draw.

        Raises:
            TooSmall: fewer than `min_points` points are inside one of the grids, or the views cannot be drawn.
            UserError: the frame's file is missing or damaged, or lacks a tensor.
        """
        rng = draw.rng()
        scene = self.changed(draw.row, rng)
        self._check_size(scene)
        return self.views(scene, rng, self.grids)

    def changed(self, row: int, rng: np.random.Generator) -> Scene:
        """The frame in row `row` after all transforms, with a neighbour if one is requested.

        Raises:
            UserError: a frame's file is missing or damaged, or lacks a tensor.
        """
        scene = self.scene(row)
        if self.neighbours is not None:
            neighbour = self.neighbours[self.indices[row]]
            if neighbour is not None:
                scene = replace(scene, neighbour=self._transformed(self._scene(neighbour), rng))
        return self._transformed(scene, rng)

    def scene(self, row: int) -> Scene:
        """The recorded frame in row `row`.

        Raises:
            UserError: the frame's file is missing or damaged, or lacks a tensor.
        """
        return self._scene(self.indices[row])

    def _check_size(self, scene: Scene) -> None:
        xyz = scene.points[:, :3]
        where = ""
        for grid in self.grids if self.min_points else ():
            inside = int(grid.voxel_of(xyz)[1].sum())
            if inside < min(self.min_points, len(xyz)):
                where = f", {inside} of them inside the grid {grid.lower}..{grid.upper} (metres)"
        if where or len(xyz) < self.min_points:
            raise TooSmall(f"frame {scene.token} has {len(xyz)} points{where}; {self.min_points} or more are needed")

    def _transformed(self, scene: Scene, rng: np.random.Generator) -> Scene:
        for transform in self.transforms:
            scene = transform(scene, rng)
        return scene

    def _scene(self, index: int) -> Scene:
        frame = self.cache[index]
        points = frame["points"]
        region = torch.full((len(points),), -1, dtype=torch.int32)
        if self.region_key is not None:
            region = frame[self.region_key]
        return Scene(
            token=frame.token,
            points=points,
            region=region,
            num_regions=int(region.max()) + 1 if len(region) else 0,
            label=frame["label"] if LABEL in self.reads else None,
            boxes=_boxes(frame) if BOXES in self.reads else None,
            cameras=self._cameras(frame) if CAMERAS in self.reads else (),
            bev_map=frame["bev_map"] if BEV_MAP in self.reads else None,
            bev_map_reach=self.bev_map_reach,
            ground=frame["ground"] if GROUND in self.reads else None,
            global_from_lidar=None if self.neighbours is None else frame["global_from_lidar"],
            keyframe=frame.keyframe,
            columns=self.cache.columns,
            visible=tuple(frame[f"point/{name}"].long() for name in frame.cameras) if VISIBLE in self.reads else None,
        )

    def _cameras(self, frame: Frame) -> tuple[Camera, ...]:
        def of_image(prefix: str, camera: str) -> torch.Tensor | None:
            wanted = [name for name in self.reads if name.startswith(prefix)]
            return frame[f"{wanted[0]}/{camera}"] if wanted else None

        return tuple(
            Camera(
                name=name,
                image=_decoded(frame, f"image/{name}"),
                pixel_from_camera=frame[f"intrinsic/{name}"],
                camera_from_lidar=frame[f"camera_from_lidar/{name}"],
                pixel=frame[f"pixel/{name}"],
                point=frame[f"point/{name}"].long(),
                superpixel=of_image(SUPERPIXEL, name),
                pseudo_label=of_image(PSEUDO_LABEL, name),
            )
            for name in frame.cameras
        )


def needed_tensors(reads: Collection[str], region: str | None, frame: Frame) -> list[str]:
    """Names of the tensors without which the frame cannot be read; see `CacheScenes` for the arguments."""
    needed = [] if region is None else [f"region/{region}"]
    needed += [key for name, key in ((LABEL, "label"), (BOXES, "box"), (BEV_MAP, "bev_map")) if name in reads]
    names = frame.cameras
    if CAMERAS in reads and not names:
        needed.append("image/")
    maps = [name for name in reads if name.startswith((SUPERPIXEL, PSEUDO_LABEL))]
    return needed + [f"{prefix}/{name}" for prefix in sorted(maps) for name in names]


def neighbours_of(cache: Cache, indices: Sequence[int], apart: int) -> dict[int, int | None]:
    """For each frame the one of `indices` that is `apart` keyframes later in its scene, else `apart` earlier."""
    scenes: dict[str, list[int]] = {}
    for index in sorted(set(indices)):
        scenes.setdefault(cache.frames[index].scene, []).append(index)
    neighbours: dict[int, int | None] = {}
    for rows in scenes.values():
        rows.sort(key=lambda index: cache.frames[index].timestamp_us)
        for place, row in enumerate(rows):
            other = place + apart if place + apart < len(rows) else place - apart
            neighbours[row] = rows[other] if other >= 0 else None
    return neighbours


def _boxes(frame: Frame) -> Boxes3D:
    """The frame's boxes, without those that have no returns, which nuScenes does not evaluate.

    BEVFusion's reference code leaves out the same boxes (mit-han-lab/bevfusion, nuscenes_dataset.py, `use_valid_flag`).
    """
    attribute = frame["box_attribute"].long() if "box_attribute" in frame else None
    boxes = Boxes3D(frame["box"], frame["box_class"].long(), attribute)
    return boxes[frame["box_points"] > 0] if "box_points" in frame else boxes


def _decoded(frame: Frame, key: str) -> torch.Tensor:
    """[3, H, W] uint8, red, green, blue.

    Raises:
        UserError: it is not an image.
    """
    try:
        image = decode_image(frame[key].numpy())
    except ValueError:
        raise UserError(
            f"{frame.path}: {key} cannot be decoded as an image; run pc-ssl verify to find all such files"
        ) from None
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
