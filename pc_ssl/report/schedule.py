"""Learning rate and momentum over a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pc_ssl.engine.options import TrainOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 500  # of the curves


def schedule_points(options: TrainOptions) -> tuple[list[int], list[float], list[float]]:
    """Steps, and the learning rate and AdamW's first beta at each; first, last and at most POINTS others."""
    last = options.steps - 1
    steps = sorted({round(last * number / POINTS) for number in range(POINTS + 1)})
    factors = [options.learning_rate_schedule.factors(step, options.steps) for step in steps]
    return steps, [options.learning_rate * f.learning_rate for f in factors], [f.beta for f in factors]


def schedule_figure(options: TrainOptions, name: str) -> Figure:
    """Two curves over the steps of a run; factors by parameter groups are written below."""
    from matplotlib.figure import Figure

    steps, rates, betas = schedule_points(options)
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(steps, rates)
    upper.set_ylabel("learning rate")
    groups = ", ".join(f"{prefix}: x {factor:g}" for prefix, factor in options.learning_rate_multipliers.items())
    upper.set_title(f"{name}: {rates[0]:.3g} at first, {max(rates):.3g} at most, {rates[-1]:.3g} at last")
    lower.plot(steps, betas, color="tab:orange")
    lower.set_ylabel("AdamW's first beta")
    lower.set_xlabel(f"step of {options.steps}, batches of {options.batch_size}" + (f"; {groups}" if groups else ""))
    return figure
