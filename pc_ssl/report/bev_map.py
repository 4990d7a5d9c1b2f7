"""A figure of map segmentation: prediction and ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def maps_from_above(
    probability: NDArray, mask: NDArray, known: NDArray, class_names: Sequence[str], reach: float
) -> Figure:
    """The probability of each class above, its ground-truth cells below; unknown cells are grey.

    Args:
        probability: [K, H, W] in [0, 1]; rows run along y.
        mask: [K, H, W] bool.
        known: [H, W] bool.
        class_names: K names.
        reach: the map covers -reach..reach along x and y, metres.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.5 * len(class_names) + 0.8, 5.6), layout="constrained")
    panels = figure.subplots(2, len(class_names), squeeze=False, sharex=True, sharey=True)
    extent = (-reach, reach, -reach, reach)
    for k, name in enumerate(class_names):
        for axes, value in zip(panels[:, k], (probability[k], mask[k].astype(float)), strict=True):
            image = axes.imshow(
                np.where(known, value, np.nan), origin="lower", extent=extent, vmin=0, vmax=1, cmap="viridis"
            )
            axes.set_facecolor("0.8")
            axes.plot(0, 0, marker="+", color="white", markersize=8)
            axes.tick_params(labelsize=8)
        panels[0, k].set_title(name.replace("_", " "), fontsize=10)
        panels[1, k].set_xlabel("x [m]", fontsize=9)
    panels[0, 0].set_ylabel("predicted\ny [m]", fontsize=9)
    panels[1, 0].set_ylabel("recorded\ny [m]", fontsize=9)
    figure.colorbar(image, ax=panels, label="probability", shrink=0.6)
    return figure
