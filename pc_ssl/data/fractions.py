"""Selection of labelled scenes or frames for label fractions of the training set.

Published fractions select whole scenes at a stride, not single keyframes: neighbouring keyframes show the same street,
so 1 % of the keyframes would be nearly as good as all of them. Where scenes are few or short, whole scenes leave out
rare classes: `label_frames` then selects single frames of many scenes, so that no class is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from pc_ssl.errors import UserError

STRIDE_TOLERANCE = 0.02  # relative; accepts 0.33 for every third scene, and rejects 0.4
SHOWING_POINTS = 20  # labelled points of a class in a frame that shows it well enough to learn from
SHOWING_SCENES = 2  # labelled scenes that must show each class


class FractionRule(Enum):
    """Published rules for selecting labelled scenes, in the order of the data set's tables.

    SLIDR: the n-th, 2n-th, ... scene (SLidR; also CLIP2Scene, OLIVINE and BEVContrast).
    CALICO: the first, (n + 1)-th, ... scene: `scenes[::n]` (the nuScenes converter of CALICO's first author).
    SCANNET: the lists of ScanNet's data-efficient benchmark ("limited reconstructions"); not a rule, so
        they are read from a file.
    FRAMES: single frames of as many scenes as possible, from a seed, with every class (`label_frames`); ours.
    """

    SLIDR = "slidr"
    CALICO = "calico"
    SCANNET = "scannet"
    FRAMES = "frames"


def label_scenes(
    scenes: Sequence[str], fraction: float, *, rule: FractionRule = FractionRule.SLIDR, offset: int = 0
) -> tuple[str, ...]:
    """Scenes that keep their labels, in the order of `scenes`.

    The stride n is 1 / fraction, but at most the number of scenes, so that at least one scene is selected: with 20
    scenes, both 5 % and 1 % are one scene.

    Args:
        scenes: all training scenes in the order of the data set.
        fraction: labelled share in (0, 1]; must be 1 / n for a whole n.
        rule: start of the stride.
        offset: shifts the stride by this many scenes, as BEVContrast's seed offset does; offsets 0..n-1 give disjoint
            sets of scenes. 0 gives the published scenes.

    Raises:
        UserError: the fraction is not in (0, 1] or not 1 / n, there are no scenes, or the rule needs a list of scenes.
    """
    if not scenes:
        raise UserError("label fraction: the training split has no scenes")
    if rule is FractionRule.SCANNET and fraction != 1:
        raise UserError(
            f"label fraction: got {fraction:g}, but ScanNet's benchmark lists the labelled scenes: give its list with "
            "--label-scenes FILE, or take every n-th scene with --label-rule slidr"
        )
    if rule is FractionRule.FRAMES:
        raise UserError("label fraction: label rule frames selects frames; expected a rule that selects scenes")
    step = min(scene_stride(fraction), len(scenes))
    if rule is FractionRule.CALICO:
        return tuple(scenes[offset % step :: step])
    return tuple(scene for position, scene in enumerate(scenes, start=1) if (position + offset) % step == 0)


def scene_stride(fraction: float) -> int:
    """Stride of labelled scenes: 0.05 -> 20.

    Raises:
        UserError: the fraction is not in (0, 1] or not 1 / n.
    """
    _check_fraction(fraction)
    step = round(1 / fraction)
    if abs(step * fraction - 1) > STRIDE_TOLERANCE:
        raise UserError(f"label fraction: expected 1 / n (1, 0.5, 0.25, 0.1, 0.05, 0.01, ...), got {fraction:g}")
    return step


def label_frames(scenes: Sequence[str], counts: NDArray[np.int64], fraction: float, seed: int) -> list[int]:
    """Frames that keep their labels: the first round(fraction * N), at least one, of `frame_order`.

    The frames of a smaller fraction are therefore among those of a larger one with the same seed.

    Args:
        scenes: scene of each of the N frames of the training split.
        counts: [N, C] labelled points of each class in each frame.
        fraction: labelled share in (0, 1], any number.
        seed: of the order.

    Returns:
        Positions in 0..N-1, ascending.

    Raises:
        UserError: the fraction is not in (0, 1], or there are no frames.
    """
    _check_fraction(fraction)
    if not scenes:
        raise UserError("label fraction: the training split has no frames")
    return sorted(frame_order(scenes, counts, seed)[: max(round(fraction * len(scenes)), 1)])


def frame_order(scenes: Sequence[str], counts: NDArray[np.int64], seed: int) -> list[int]:
    """All frames in the order in which they are labelled: every class first, then as many scenes as possible.

    The scenes are permuted, and the frames within each; frames are then taken by turns from each scene. In front of
    that order are the frames that its beginning might lack: a frame shows a class if it has SHOWING_POINTS of its
    points, or as many as any frame has. For 1, 2, .. SHOWING_SCENES scenes, each class that fewer chosen scenes show
    gets the first frame that shows it, from a scene without chosen frames if possible. The class that the fewest
    scenes show comes first.

    Args:
        scenes: [N] scene of each frame.
        counts: [N, C] labelled points of each class in each frame.
        seed: of both permutations.

    Returns:
        [N] positions.
    """
    turns = _by_turns(scenes, np.random.default_rng(seed))
    place = {name: number for number, name in enumerate(dict.fromkeys(scenes))}
    scene = np.array([place[name] for name in scenes])
    shows = (counts > 0) & (counts >= np.minimum(SHOWING_POINTS, counts.max(0)))
    in_scene = np.zeros((len(place), counts.shape[1]), bool)
    np.logical_or.at(in_scene, scene, shows)
    rarest_first = [int(c) for c in np.argsort(in_scene.sum(0), kind="stable") if in_scene[:, c].any()]
    chosen: list[int] = []
    for wanted in range(1, SHOWING_SCENES + 1):
        for c in rarest_first:
            if len({scene[k] for k in chosen if shows[k, c]}) < min(wanted, in_scene[:, c].sum()):
                used = {scene[k] for k in chosen}
                having = {scene[k] for k in chosen if shows[k, c]}
                fitting = [k for k in turns if shows[k, c] and scene[k] not in having]
                chosen.append(next((k for k in fitting if scene[k] not in used), fitting[0]))
    return chosen + _spread(turns, scene, chosen)


def _by_turns(scenes: Sequence[str], rng: np.random.Generator) -> list[int]:
    """Positions of frames, one of each scene by turns; scenes and their frames are permuted."""
    frames: dict[str, list[int]] = {}
    for position, name in enumerate(scenes):
        frames.setdefault(name, []).append(position)
    names = list(frames)
    drawn = [rng.permutation(frames[names[k]]).tolist() for k in rng.permutation(len(names))]
    return [of_scene[turn] for turn in range(max(map(len, drawn))) for of_scene in drawn if turn < len(of_scene)]


def _spread(turns: Sequence[int], scene: NDArray[np.int64], chosen: Sequence[int]) -> list[int]:
    """The other frames of `turns`, those of scenes with the fewest frames before them first."""
    before = dict.fromkeys(scene.tolist(), 0)
    for k in chosen:
        before[int(scene[k])] += 1
    rank, taken = {}, set(chosen)
    for k in turns:
        if k not in taken:
            rank[k] = before[int(scene[k])]
            before[int(scene[k])] += 1
    return sorted(rank, key=rank.__getitem__)


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction <= 1:  # also rejects NaN
        raise UserError(f"label fraction: expected a number in (0, 1], got {fraction:g}")
