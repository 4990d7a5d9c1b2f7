"""k-nearest-neighbour probe: points are classified by the labelled points of the most similar features.

Nothing is trained. The protocol is that of instance discrimination (Wu et al., "Unsupervised Feature Learning via
Non-Parametric Instance Discrimination", CVPR 2018, Sec. 3.4) and DINO (Caron et al., "Emerging Properties in
Self-Supervised Vision Transformers", ICCV 2021, Appendix F.1): cosine similarity s to the features of a bank, the k
most similar entries vote for their class with weight exp(s / t), t = 0.07, and the class with most weight wins. k is 20
in DINO, 200 in Wu et al. Both have a bank of all training images; here it is a sample of points with equal
numbers of each class, because most points of a street are road, and with k below the number of road points nearby a
rare class would never win.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

K, TEMPERATURE = 20, 0.07  # DINO, Appendix F.1
BLOCK = 2**24  # similarities that are in memory at once: 64 MiB


@dataclass(frozen=True)
class NearestNeighbours:
    """A bank of labelled features.

    Args:
        feature: [M, C] float32 of unit length.
        label: [M] int64 class of each.
        num_classes: labels are below it.
        k: number of neighbours that vote; all M if there are fewer.
        temperature: of the votes.

    Raises:
        ValueError: the bank is empty, its lengths differ, or k or temperature is not positive.
    """

    feature: Tensor
    label: Tensor
    num_classes: int
    k: int = K
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        if len(self.feature) == 0 or self.label.shape != (len(self.feature),):
            raise ValueError(f"NearestNeighbours: {len(self.feature)} features, labels {tuple(self.label.shape)}")
        if self.k < 1 or self.temperature <= 0:
            raise ValueError(f"NearestNeighbours: k is {self.k}, temperature {self.temperature}; expected above 0")

    def neighbours(self, feature: Tensor, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The most similar entries, exactly, in blocks of queries.

        Args:
            feature: [N, C], of any length.
            exclude: [N] int64 row of the bank that is not a neighbour of the query, such as its own; None: none.

        Returns:
            similarity [N, k] float32, descending, and rows [N, k] int64 of the bank.
        """
        query = normalize(feature.float(), dim=1)
        k = min(self.k, len(self.feature) - (exclude is not None))
        rows = max(1, BLOCK // len(self.feature))
        found = []
        for start in range(0, len(query), rows):
            similarity = query[start : start + rows] @ self.feature.T
            if exclude is not None:
                similarity.scatter_(1, exclude[start : start + rows, None], -torch.inf)
            found.append(similarity.topk(k, dim=1))
        if not found:
            return query.new_zeros(0, k), query.new_zeros(0, k, dtype=torch.int64)
        return torch.cat([value for value, _ in found]), torch.cat([index for _, index in found])

    def predict(self, feature: Tensor) -> Tensor:
        """[N] int64 class of each feature [N, C]; of classes with equal weight the lowest."""
        similarity, rows = self.neighbours(feature)
        # exp((s - s_max) / t) has the same order as exp(s / t), and cannot overflow
        weight = ((similarity - similarity[:, :1]) / self.temperature).exp()
        votes = weight.new_zeros(len(feature), self.num_classes).scatter_add(1, self.label[rows], weight)
        return votes.argmax(dim=1)


def balanced_sample(label: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows of at most `count` points, with as equal numbers of each class as there are points.

    A class with fewer points than its share gives all of them, and the others share the rest.

    Args:
        label: [N] int64 class of each point, on the CPU; every entry can be drawn.
        count: number of points.
        generator: on the CPU; draws the points of a class uniformly, without replacement.

    Returns:
        [min(count, N)] int64 rows, or a little fewer because shares are whole numbers, ascending.
    """
    classes, sizes = label.unique(return_counts=True)
    shares = dict(zip(classes.tolist(), equal_shares(sizes.tolist(), count), strict=True))
    drawn = []
    for name, share in shares.items():
        rows = (label == name).nonzero()[:, 0]
        drawn.append(rows[torch.randperm(len(rows), generator=generator)[:share]])
    return torch.cat(drawn).sort().values if drawn else label.new_zeros(0)


def equal_shares(sizes: Iterable[int], count: int) -> list[int]:
    """How many of each of some sets to take, `count` together: as equal as their sizes allow, rounded down.

    >>> equal_shares([100, 2, 50], 20)
    [9, 2, 9]
    """
    sizes = list(sizes)
    shares, left = [0] * len(sizes), count
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for place, i in enumerate(order):
        shares[i] = min(sizes[i], left // (len(order) - place))
        left -= shares[i]
    return shares
