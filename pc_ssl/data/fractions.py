"""Selection of labelled scenes for label fractions of the training set.

Fractions select whole scenes at a stride, not single keyframes: neighbouring keyframes show the same street, so 1 % of
the keyframes would be nearly as good as all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from pc_ssl.errors import UserError

STRIDE_TOLERANCE = 0.02  # relative; accepts 0.33 for every third scene, and rejects 0.4


class FractionRule(Enum):
    """Published rules for selecting labelled scenes, in the order of the data set's tables.

    SLIDR: the n-th, 2n-th, ... scene (SLidR; also CLIP2Scene, OLIVINE and BEVContrast).
    CALICO: the first, (n + 1)-th, ... scene: `scenes[::n]` (the nuScenes converter of CALICO's first author).
    SCANNET: the lists of ScanNet's data-efficient benchmark ("limited reconstructions"); not a rule, so
        they are read from a file.
    """

    SLIDR = "slidr"
    CALICO = "calico"
    SCANNET = "scannet"


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
    step = min(scene_stride(fraction), len(scenes))
    if rule is FractionRule.CALICO:
        return tuple(scenes[offset % step :: step])
    return tuple(scene for position, scene in enumerate(scenes, start=1) if (position + offset) % step == 0)


def scene_stride(fraction: float) -> int:
    """Stride of labelled scenes: 0.05 -> 20.

    Raises:
        UserError: the fraction is not in (0, 1] or not 1 / n.
    """
    if not 0 < fraction <= 1:  # also rejects NaN
        raise UserError(f"label fraction: expected a number in (0, 1], got {fraction:g}")
    step = round(1 / fraction)
    if abs(step * fraction - 1) > STRIDE_TOLERANCE:
        raise UserError(f"label fraction: expected 1 / n (1, 0.5, 0.25, 0.1, 0.05, 0.01, ...), got {fraction:g}")
    return step
