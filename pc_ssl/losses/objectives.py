"""Contrastive objectives that methods accept in place of InfoNCE.

    method = dict(type=PointContrast, objective="decoupled", ...)                            # default arguments
    method = dict(type=PointContrast, objective=dict(type=MixedNegatives, hardest=128), ...)
    pc-ssl pretrain CONFIG --set method.objective=decoupled

An objective is a frozen dataclass that implements `Objective`; a new one is a class here and a line in `OBJECTIVES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses.hard_negatives import hard_negative_mixing
from pc_ssl.losses.info_nce import info_nce
from pc_ssl.losses.supervised_contrastive import PositiveMean, supervised_contrastive
from pc_ssl.losses.uniformity import alignment, cross_uniformity, uniformity

ObjectiveName = Literal[
    "info_nce", "symmetric_info_nce", "decoupled", "mixed_negatives", "contrastive_gap", "supervised"
]


class Objective(Protocol):
    """Compares anchors with candidates of another view or sensor.

    Attributes:
        needs_regions: whether the objective needs the region of each anchor and candidate.
    """

    needs_regions: ClassVar[bool]

    def __call__(
        self,
        anchor: Tensor,
        candidate: Tensor,
        *,
        temperature: float,
        positive: Tensor | None = None,
        weight: Tensor | None = None,
        group: Tensor | None = None,
        region: Tensor | None = None,
    ) -> Tensor:
        """Loss of the anchors against the candidates.

        Args:
            anchor: [N, D] of unit length.
            candidate: [M, D] of unit length; further candidates, e.g. from a queue, follow the first N.
            temperature: t.
            positive: [N] int64, row of `candidate` of each anchor's positive; None: candidate i is the positive of
                anchor i.
            weight: [N] >= 0 weight of each anchor; None: equal weights.
            group: [M] int64: candidates of the anchor's group are not its negatives; -1 means none. The anchors are
                then the first N rows. None: all other candidates are negatives.
            region: [M] int64 region of each candidate, of the anchors in the first N rows; -1 none. Only an objective
                with `needs_regions` reads it.

        Returns:
            Scalar, float32 (float64 stays); a zero that is connected to all inputs when no anchor has positive weight.
        """
        ...


@dataclass(frozen=True)
class InfoNCE:
    """`info_nce`: van den Oord et al., 2018, Eq. 4."""

    needs_regions: ClassVar[bool] = False

    def __call__(
        self, anchor: Tensor, candidate: Tensor, *, temperature: float, positive: Tensor | None = None,
        weight: Tensor | None = None, group: Tensor | None = None, region: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        return _info_nce(anchor, candidate, temperature, positive, weight, group)


@dataclass(frozen=True)
class SymmetricInfoNCE:
    """Mean of InfoNCE from anchors to candidates and back (CLIP: Radford et al., ICML 2021, Fig. 3).

    The way back goes from each positive to its anchor among all anchors.
    """

    needs_regions: ClassVar[bool] = False

    def __call__(
        self, anchor: Tensor, candidate: Tensor, *, temperature: float, positive: Tensor | None = None,
        weight: Tensor | None = None, group: Tensor | None = None, region: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        there = _info_nce(anchor, candidate, temperature, positive, weight, group)
        own = _positives(anchor, candidate, positive)
        of_anchor = None if group is None else group[: len(anchor)]
        return (there + _info_nce(own, anchor, temperature, None, weight, of_anchor)) / 2


@dataclass(frozen=True)
class Decoupled:
    """InfoNCE without the positive in its denominator: DCL (Yeh et al., ECCV 2022, Eq. 6)."""

    needs_regions: ClassVar[bool] = False

    def __call__(
        self, anchor: Tensor, candidate: Tensor, *, temperature: float, positive: Tensor | None = None,
        weight: Tensor | None = None, group: Tensor | None = None, region: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        return _info_nce(anchor, candidate, temperature, positive, weight, group, decoupled=True)


@dataclass(frozen=True)
class MixedNegatives:
    """InfoNCE with mixed hard negatives: MoCHi (Kalantidis et al., "Hard Negative Mixing for Contrastive Learning",
    NeurIPS 2020).

    MoCHi mixes 1024 hardest of a queue for the images of a batch; here the anchors are thousands of points, each with
    its own mixtures in memory, so that the defaults are smaller (ours). Random numbers come from torch's global
    generator.

    Args:
        hardest: negatives to mix from, N in the paper; all of them if there are fewer.
        mixed: mixtures of two negatives, s.
        mixed_with_anchor: mixtures of the anchor and a negative, s'.

    Raises:
        ValueError: an argument is out of range.
    """

    needs_regions: ClassVar[bool] = False
    hardest: int = 64
    mixed: int = 32
    mixed_with_anchor: int = 16

    def __post_init__(self) -> None:
        if self.hardest < 2 or min(self.mixed, self.mixed_with_anchor) < 0 or self.mixed + self.mixed_with_anchor == 0:
            raise ValueError(
                f"MixedNegatives: hardest {self.hardest} must be 2 or more, mixed {self.mixed} and mixed_with_anchor "
                f"{self.mixed_with_anchor} not negative and not both 0"
            )

    def __call__(
        self, anchor: Tensor, candidate: Tensor, *, temperature: float, positive: Tensor | None = None,
        weight: Tensor | None = None, group: Tensor | None = None, region: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Negatives of the anchor's group are mixed as well: all candidates except its positive are mixed.

        With fewer than two negatives nothing is mixed.
        """
        hardest = min(self.hardest, len(candidate) - 1)
        if len(anchor) == 0 or hardest < 2:
            return _info_nce(anchor, candidate, temperature, positive, weight, group)
        mixtures = hard_negative_mixing(
            normalize(anchor.detach().float(), dim=1),
            normalize(candidate.detach().float(), dim=1),
            hardest=hardest,
            mixed=self.mixed,
            mixed_with_anchor=self.mixed_with_anchor,
            generator=None,
            positive=torch.arange(len(anchor), device=anchor.device) if positive is None else positive,
        )
        return _info_nce(anchor, candidate, temperature, positive, weight, group, own_negative=mixtures)


@dataclass(frozen=True)
class ContrastiveGap:
    """InfoNCE + alignment + uniformity of both sides and across them, against the gap between modalities.

    Fahim, Murphy, Fyshe, "It's Not a Modality Gap: Characterizing and Addressing the Contrastive Gap", 2024, whose
    terms are added with equal weights.

    Args:
        alignment: weight of the mean squared distance of the positives.
        uniformity: weight of the mean of both sides' uniformity.
        cross_uniformity: weight of the uniformity across sides.

    Raises:
        ValueError: a weight is negative.
    """

    needs_regions: ClassVar[bool] = False
    alignment: float = 1.0
    uniformity: float = 1.0
    cross_uniformity: float = 1.0

    def __post_init__(self) -> None:
        if min(self.alignment, self.uniformity, self.cross_uniformity) < 0:
            raise ValueError(
                f"ContrastiveGap: weights must not be negative, got {self.alignment}, {self.uniformity} and "
                f"{self.cross_uniformity}"
            )

    def __call__(
        self, anchor: Tensor, candidate: Tensor, *, temperature: float, positive: Tensor | None = None,
        weight: Tensor | None = None, group: Tensor | None = None, region: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """`weight` and `group` apply to the InfoNCE term only."""
        own = _positives(anchor, candidate, positive)
        spread = (uniformity(anchor) + uniformity(own)) / 2
        return (
            _info_nce(anchor, candidate, temperature, positive, weight, group)
            + self.alignment * alignment(anchor, own)
            + self.uniformity * spread
            + self.cross_uniformity * cross_uniformity(anchor, own)
        )


@dataclass(frozen=True)
class Supervised:
    """All candidates of the anchor's region are its positives.

    Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, Eq. 2 or 3, with regions in the place of labels.

    Args:
        mean: "outside_log" (Eq. 2) or "inside_log" (Eq. 3).

    Raises:
        ValueError: `mean` is not one of these.
    """

    needs_regions: ClassVar[bool] = True
    mean: str = PositiveMean.OUTSIDE_LOG

    def __post_init__(self) -> None:
        PositiveMean(self.mean)

    def __call__(
        self, anchor: Tensor, candidate: Tensor, *, temperature: float, positive: Tensor | None = None,
        weight: Tensor | None = None, group: Tensor | None = None, region: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """`positive` and `group` are ignored; an anchor outside regions has weight 0.

        Raises:
            ValueError: no regions are given.
        """
        if region is None:
            raise ValueError("Supervised: needs the regions of anchors and candidates")
        own = region[: len(anchor)]
        return supervised_contrastive(
            anchor, candidate, own, region, temperature=temperature, mean=PositiveMean(self.mean), weight=weight
        )


INFO_NCE = InfoNCE()  # the objective that all methods were published with
OBJECTIVES: dict[ObjectiveName, Objective] = {
    "info_nce": INFO_NCE,
    "symmetric_info_nce": SymmetricInfoNCE(),
    "decoupled": Decoupled(),
    "mixed_negatives": MixedNegatives(),
    "contrastive_gap": ContrastiveGap(),
    "supervised": Supervised(),
}


def as_objective(chosen: ObjectiveName | Objective, *, has_regions: bool = False) -> Objective:
    """The objective of a name, with its default arguments; an objective is returned unchanged.

    Args:
        chosen: name or instance, from the method's argument.
        has_regions: whether the method gives the regions of anchors and candidates.

    Raises:
        ValueError: the name is unknown, or the objective needs regions that the method does not provide.
    """
    if isinstance(chosen, str) and chosen not in OBJECTIVES:
        raise ValueError(f"objective is {chosen!r}, expected one of {', '.join(OBJECTIVES)}")
    objective = OBJECTIVES[chosen] if isinstance(chosen, str) else chosen
    if objective.needs_regions and not has_regions:
        raise ValueError(f"objective is {objective}, which needs regions; this method has none")
    return objective


def _positives(anchor: Tensor, candidate: Tensor, positive: Tensor | None) -> Tensor:
    return candidate[: len(anchor)] if positive is None else candidate[positive]


def _info_nce(
    anchor: Tensor,
    candidate: Tensor,
    temperature: float,
    positive: Tensor | None,
    weight: Tensor | None,
    group: Tensor | None,
    decoupled: bool = False,
    own_negative: Tensor | None = None,
) -> Tensor:
    return info_nce(
        anchor, candidate, temperature=temperature, positive=positive, weight=weight,
        anchor_group=None if group is None else group[: len(anchor)], candidate_group=group, decoupled=decoupled,
        own_negative=own_negative,
    )  # fmt: skip
