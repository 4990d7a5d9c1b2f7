"""Principal components, k-means clusters and similarities of features, fitted to a sample and applied frame by frame.

All features are divided by their length first: networks are pretrained on cosines.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.ops import region_pool

ITERATIONS = 50


@dataclass(frozen=True)
class Projection:
    """Three principal components as colours, the same for all frames.

    Args:
        mean: [C] of the normalised features.
        axes: [C, 3], orthonormal; zeros where C < 3. The largest entry of each is positive.
        low, high: [3], the 2nd and 98th percentile of the sample's components, which become 0 and 1.
    """

    mean: Tensor
    axes: Tensor
    low: Tensor
    high: Tensor

    def colors(self, feature: Tensor) -> Tensor:
        """[N, C] -> [N, 3] in 0..1; points without a feature (zeros) are grey."""
        component = (normalize(feature.double(), dim=1) - self.mean) @ self.axes
        color = ((component - self.low) / (self.high - self.low).clamp_min(1e-12)).clamp(0, 1)
        return torch.where(has_feature(feature)[:, None], color, 0.5)


@dataclass(frozen=True)
class KMeans:
    """Clusters of directions.

    Args:
        centers: [K, C].
    """

    centers: Tensor

    def clusters(self, feature: Tensor) -> Tensor:
        """[N, C] -> [N] int64: the nearest centre; -1 for points without a feature (zeros)."""
        nearest = torch.cdist(normalize(feature.double(), dim=1), self.centers).argmin(dim=1)
        return torch.where(has_feature(feature), nearest, -1)


def has_feature(feature: Tensor) -> Tensor:
    """[N, C] -> [N] bool: whether any entry is not zero."""
    return (feature != 0).any(dim=1)


def fit_projection(sample: Tensor) -> Projection:
    """The principal components of features [n, C], n >= 1."""
    unit = normalize(sample.double(), dim=1)
    mean = unit.mean(dim=0)
    _, vectors = torch.linalg.eigh((unit - mean).T @ (unit - mean))
    axes = vectors.flip(1)[:, :3]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    axes = torch.where(largest < 0, -axes, axes)
    axes = torch.cat([axes, axes.new_zeros(len(axes), 3 - axes.shape[1])], dim=1)
    component = (unit - mean) @ axes
    low, high = torch.quantile(component, component.new_tensor([0.02, 0.98]), dim=0)
    return Projection(mean, axes, low, high)


def fit_kmeans(sample: Tensor, count: int, seed: int) -> KMeans:
    """k-means (Lloyd 1982) from centres chosen as by k-means++ (Arthur and Vassilvitskii 2007).

    Args:
        sample: [n, C] features, n >= 1.
        count: K; fewer centres are returned where the sample has fewer distinct directions.
        seed: of the choice.
    """
    unit = normalize(sample.double(), dim=1)
    generator = torch.Generator().manual_seed(seed)
    centers = unit[torch.randint(len(unit), (1,), generator=generator)]
    while len(centers) < count:
        squared = torch.cdist(unit, centers).min(dim=1).values.square()
        squared = torch.where(squared < 1e-12, 0.0, squared)
        if not bool(squared.sum() > 0):
            break
        centers = torch.cat([centers, unit[torch.multinomial(squared, 1, generator=generator)]])
    for _ in range(ITERATIONS):
        nearest = torch.cdist(unit, centers).argmin(dim=1)
        filled = torch.bincount(nearest, minlength=len(centers)) > 0
        moved = torch.where(filled[:, None], region_pool(unit, nearest, len(centers)), centers)
        if torch.equal(moved, centers):
            break
        centers = moved
    return KMeans(centers)


def similarity(feature: Tensor, anchor: Tensor) -> Tensor:
    """Cosine of features [N, C] with one feature [C]: [N] in -1..1; 0 for points without a feature."""
    return normalize(feature.double(), dim=1) @ normalize(anchor.double(), dim=0)
