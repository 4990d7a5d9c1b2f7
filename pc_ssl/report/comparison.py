"""A picture of methods compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pc_ssl.experiments import Comparison
from pc_ssl.experiments.records import SCORES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_WIDTH, ROW_HEIGHT = 3.0, 0.32  # inches


def comparison_figure(comparison: Comparison) -> Figure:
    """One panel for each column: mean and deviation of each method, a dash for each run, the first method as a line."""
    from matplotlib.figure import Figure

    methods, columns = comparison.plan.methods, comparison.columns
    size = (PANEL_WIDTH * len(columns) + 1.5, ROW_HEIGHT * len(methods) + 1.2)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(columns), squeeze=False, sharey=True)[0]
    for axes, column in zip(panels, columns, strict=True):
        for place, method in enumerate(methods):
            spread, color = comparison.spread(method, column), f"C{place}"
            if spread is None:
                continue
            axes.errorbar(100 * spread.mean, place, xerr=100 * (spread.std or 0), fmt="o", color=color, capsize=3)
            axes.plot([100 * run for run in spread.runs], [place] * len(spread.runs), "|", color=color, markersize=9)
            if place == 0:
                axes.axvline(100 * spread.mean, color="0.7", linestyle="--", linewidth=1, zorder=0)
        axes.set_title(comparison.label(column), fontsize=11)
        axes.set_xlabel(f"{SCORES[column.metric]} %", fontsize=9)
        axes.grid(axis="x", color="0.93", linewidth=0.6)
        axes.tick_params(labelsize=8)
    panels[0].set_yticks(range(len(methods)), [method.label for method in methods])
    panels[0].invert_yaxis()
    return figure
