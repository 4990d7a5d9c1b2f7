"""Pictures of a training run: each logged term over the steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pc_ssl.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Entries of the log besides the module's terms (`engine/log.py`).
BOOKKEEPING = ("step", "lr", "seconds", "data_seconds", "memory_mib")
BY_CHANCE = "_by_chance"  # suffix of a term with the chance level of another one: drawn dashed in its panel
PANEL_WIDTH, PANEL_HEIGHT = 3.9, 2.6  # inches
COLUMNS = 3

Log = Sequence[Mapping[str, float | None]]


def read_log(path: Path) -> Log:
    """The lines of a log.jsonl in order; an incomplete last line is skipped.

    Raises:
        UserError: the file is missing or empty, or a line is not a JSON object with a step.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    lines = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if not line.endswith("\n"):
            break
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}: line {number} is not JSON ({error})") from error
        if not isinstance(content, dict) or not isinstance(content.get("step"), int):
            raise UserError(f"{path}: line {number} has no field 'step' that is a whole number")
        lines.append(content)
    if not lines:
        raise UserError(f"{path}: holds no step yet")
    return lines


def terms_over_steps(runs: Mapping[str, Log]) -> Figure:
    """One panel for each term that the runs logged, one line for each run.

    Args:
        runs: title -> log of runs that logged the same terms; None (not finite) leaves a gap.
    """
    from matplotlib.figure import Figure

    first = next(iter(runs.values()))[0]
    names = [name for name in first if name not in BOOKKEEPING and not name.endswith(BY_CHANCE)] + ["lr"]
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(PANEL_WIDTH * COLUMNS, PANEL_HEIGHT * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels, names, strict=False):
        for number, (title, log) in enumerate(runs.items()):
            steps = [line["step"] for line in log]
            axes.plot(steps, _values(log, name), color=f"C{number}", linewidth=1.3, label=title)
            if name + BY_CHANCE in first:
                chance = _values(log, name + BY_CHANCE)
                axes.plot(
                    steps, chance, color="0.5", linestyle="--", linewidth=1, label=None if number else "by chance"
                )
        axes.set_title(name.replace("_", " "), fontsize=11)
        axes.grid(color="0.93", linewidth=0.6)
        axes.margins(x=0.02)
        axes.tick_params(labelsize=8)
        if name + BY_CHANCE in first or (name == names[0] and len(runs) > 1):
            axes.legend(fontsize=8, frameon=False)
    for axes in panels[max(0, len(names) - COLUMNS) : len(names)]:
        axes.set_xlabel("step", fontsize=9)
    return figure


def _values(log: Log, name: str) -> list[float]:
    found = (line.get(name) for line in log)
    return [float("nan") if value is None else value for value in found]
