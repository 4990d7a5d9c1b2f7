"""Colours of classes (nuScenes'), of regions and of features. RGB in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GOLDEN_RATIO = 0.6180339887498949  # hues at this stride never come close to one another
NO_REGION = (0.60, 0.60, 0.60)
GROUND = (0.86, 0.86, 0.86)

# The colours of the nuScenes-lidarseg challenge, 0-255.
NUSCENES_CLASS_COLOR: dict[str, tuple[int, int, int]] = {
    "ignore": (200, 200, 200),  # the devkit's black would emphasise ignored points
    "barrier": (112, 128, 144),
    "bicycle": (220, 20, 60),
    "bus": (255, 127, 80),
    "car": (255, 158, 0),
    "construction_vehicle": (233, 150, 70),
    "motorcycle": (255, 61, 99),
    "pedestrian": (0, 0, 230),
    "traffic_cone": (47, 79, 79),
    "trailer": (255, 140, 0),
    "truck": (255, 99, 71),
    "driveable_surface": (0, 207, 191),
    "other_flat": (175, 0, 75),
    "sidewalk": (75, 0, 75),
    "terrain": (112, 180, 60),
    "manmade": (222, 184, 135),
    "vegetation": (0, 175, 0),
}


def class_colors(names: Sequence[str]) -> NDArray[np.float64]:
    """[K, 3]: nuScenes' colour of each class name, a distinct hue for any other name."""
    others = distinct_colors(len(names))
    return np.array([np.array(NUSCENES_CLASS_COLOR[n]) / 255 if n in NUSCENES_CLASS_COLOR else others[k]
                     for k, n in enumerate(names)]).reshape(-1, 3)  # fmt: skip


def distinct_colors(count: int) -> NDArray[np.float64]:
    """[count, 3]: colours of which neighbours in the list are far apart."""
    index = np.arange(count)
    hue = (index * GOLDEN_RATIO) % 1.0
    saturation = 0.65 + 0.35 * ((index // 2) % 2)
    value = 0.95 - 0.30 * (index % 2)
    sector = np.array([5.0, 3.0, 1.0])  # hue to RGB: the piecewise linear ramps of R, G, B
    ramp = (sector + hue[:, None] * 6) % 6
    ramp = np.clip(np.minimum(ramp, 4 - ramp), 0, 1)
    return value[:, None] * (1 - saturation[:, None] * ramp)


def region_colors(region: NDArray) -> NDArray[np.float64]:
    """[N, 3]: one colour per region id; grey where the id is -1."""
    palette = np.vstack([distinct_colors(int(region.max(initial=-1)) + 1), NO_REGION])
    return palette[region]


def feature_colors(feature: NDArray) -> NDArray[np.float64]:
    """[N, 3]: the first three principal components of [N, C] as R, G, B, each stretched over its 2nd-98th percentile.

    Equal colours mean similar features within one picture; colours of different networks are not comparable.
    """
    if len(feature) == 0:
        return np.empty((0, 3))
    centered = feature.astype(np.float64) - feature.mean(axis=0)
    _, axes = np.linalg.eigh(centered.T @ centered)
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.where(
        axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1
    )  # a deterministic sign
    component = np.zeros((len(feature), 3))
    component[:, : axes.shape[1]] = centered @ axes
    low, high = np.percentile(component, [2, 98], axis=0)
    return np.clip((component - low) / np.maximum(high - low, 1e-12), 0, 1)
