"""Checks of a split's content: frames without images are left out, and a split without training signal is an error.

They run before the first step. Only headers and small tensors are read, of no more frames than needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence

import torch

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.data.dataset import BEV_MAP, BOXES, CAMERAS, LABEL, NEIGHBOUR, PAIRS, VISIBLE, neighbours_of
from pc_ssl.errors import UserError


def with_images(cache: Cache, indices: Sequence[int], reads: Collection[str], what: str) -> list[int]:
    """The frames with images, if images are read; a line on stderr reports the number of others.

    Views that are pairs of images read "visible", and need two images of a frame.

    Args:
        cache: cache of the frames.
        indices: of the frames in the cache.
        reads: tensors that views read (`CacheScenes`).
        what: description of the frames in messages, such as "split val".

    Raises:
        UserError: no frame has as many images. A frame's file is missing or damaged.
    """
    if CAMERAS not in reads and VISIBLE not in reads:
        return list(indices)
    least, images = (2, "two images") if VISIBLE in reads else (1, "images")
    kept = [index for index in indices if len(cache[index].cameras) >= least]
    if indices and not kept:
        raise UserError(
            f"{cache.path}: none of the {len(indices)} frames of {what} has {images}; prepare the cache of a recording "
            "with images, or choose what needs none"
        )
    if len(kept) < len(indices):
        first = next(index for index in indices if index not in set(kept))
        print(
            f"{what}: {len(indices) - len(kept)} of {len(indices)} frames are left out, without {images}; the "
            f"first is {cache.frames[first].token}",
            file=sys.stderr,
            flush=True,
        )
    return kept


def check_content(
    cache: Cache, indices: Sequence[int], reads: Collection[str], what: str, region: str | None = None
) -> None:
    """Check that at least one frame has content for training or evaluation.

    Args:
        cache: cache of the frames, which have the tensors that are read (`check_frames`).
        indices: of the frames in the cache.
        reads: tensors that views read (`CacheScenes`).
        what: description of the frames in messages, such as "split val".
        region: name of the region generator; None: regions are not read.

    Raises:
        UserError: no frame has a labelled point, a box with points, a cell of a map class, a point seen in an image, a
            region, or a neighbour of known pose, though these are read.
    """

    def need(found: Callable[[Frame], bool], frames: Iterable[int], lack: str) -> None:
        if not any(found(cache[index]) for index in frames):
            raise UserError(f"{cache.path}: nothing to learn from or to judge in {what}, {len(indices)} frames: {lack}")

    if region is not None:
        need(
            lambda frame: bool((frame[f"region/{region}"] >= 0).any()),
            indices,
            f"region/{region} has no region in any; pc-ssl prepare --add-regions adds those of another generator",
        )
    if LABEL in reads:
        need(
            lambda frame: bool(frame["label"].any()),
            indices,
            "all points have the label 0 (ignore); name a split with labels, or prepare the recording with its labels",
        )
    if BOXES in reads:
        need(_has_boxes, indices, "there are no boxes with points; name a split with boxes")
    if BEV_MAP in reads:
        need(lambda frame: bool(frame["bev_map"].any()), indices, "no class of the map covers a cell of bev_map")
    if PAIRS in reads:
        need(
            lambda frame: any(frame.shape(f"point/{camera}")[0] for camera in frame.cameras),
            indices,
            "no point is seen in an image; check the calibration of the cameras and prepare the recording again",
        )
    for name in reads:
        if name.startswith(NEIGHBOUR):
            apart = int(name.removeprefix(NEIGHBOUR))
            paired = [index for index, other in neighbours_of(cache, indices, apart).items() if other is not None]
            need(
                lambda frame: True,
                paired,
                f"none has a neighbour {apart} keyframes later or earlier in its scene; take drives, not single frames",
            )
            need(
                lambda frame: not torch.equal(frame["global_from_lidar"], torch.eye(4, dtype=torch.float64)),
                paired,
                "global_from_lidar is the identity in all, so no poses were recorded to register neighbours with; "
                "prepare the recording with poses (folder: poses.txt)",
            )


def _has_boxes(frame: Frame) -> bool:
    if "box_points" in frame:
        return bool((frame["box_points"] > 0).any())
    return frame.shape("box")[0] > 0
