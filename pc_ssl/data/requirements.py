"""Checks before the first step that all frames of a run hold the required tensors; only headers are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.data.fields import PER_IMAGE
from pc_ssl.errors import UserError


def check_frames(cache: Cache, indices: Sequence[int], needed: Callable[[Frame], Iterable[str]]) -> None:
    """Check that frames hold the required tensors.

    Args:
        cache: where the frames are.
        indices: of the frames in the cache.
        needed: frame -> names of tensors that it must hold.

    Raises:
        UserError: a frame lacks a tensor (the message reports how many frames lack which tensor, the first of them, and
            what to do), or a frame's file is missing or damaged.
    """
    lacking: dict[str, list[Frame]] = {}
    for index in indices:
        frame = cache[index]
        missing = {_without_camera(key) for key in needed(frame) if key not in frame}
        for key in missing:
            lacking.setdefault(key, []).append(frame)
    if lacking:
        key, frames = next(iter(lacking.items()))
        others = "".join(f"; {len(of)} have no {name!r}" for name, of in list(lacking.items())[1:])
        raise UserError(
            f"{frames[0].path}: the frame has no {key!r}; it is the first of {len(frames)} of {len(indices)} frames "
            f"without it{others}; {_advice(key, frames[0])}"
        )


def _without_camera(key: str) -> str:
    """`superpixel/slic/CAM_FRONT` -> `superpixel/slic`."""
    return key.rpartition("/")[0] if key.startswith(PER_IMAGE) else key


def _advice(key: str, frame: Frame) -> str:
    kind, _, name = key.partition("/")
    if kind == "region":
        known = ", ".join(f"region/{region}" for region in frame.regions) or "no regions"
        return f"the frame has {known}; pc-ssl prepare --add-regions {name} adds it where a generator has this name"
    if key.startswith(PER_IMAGE):
        return f"pc-ssl prepare --add-regions adds it ({name})"
    if kind == "image":
        return "leave such frames out, prepare the cache of a recording with images, or choose what needs none"
    return "prepare the cache of a recording that has it, or name a split of frames that do"
