"""Tables, plots and a page about a plan in stages, from its committed records alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pc_ssl.errors import UserError
from pc_ssl.experiments.comparison import Comparison, Table, percent
from pc_ssl.experiments.effects import Effects
from pc_ssl.experiments.records import SCORES
from pc_ssl.experiments.selection import Choice
from pc_ssl.experiments.staged import STAGE, StagedExperiment
from pc_ssl.files import read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REGION = re.compile(r"(<!-- table: (?P<key>[^\n]*?) -->\n).*?(<!-- end of table -->)", re.DOTALL)
ABOUT = """\
{title}

This page is written by `python benchmarks/proof.py --tables` from the records in this folder, and a test checks that
it is what they give. Scores are of the test streets, mean and standard deviation over the seeds. Differences are
paired: the same labelled frames, seeds and test streets for every start. Intervals are 95 % bootstrap intervals over
seeds and test streets; where one holds zero, the difference is not shown. The share of the room is (start - scratch) /
(pretraining with labels - scratch). Settings were chosen for each start and fraction on the validation streets, from
one grid. Each pretraining ran for as many seeds as the plan says (`runs`); fine-tuning of the others starts from these
in turn.
"""


def effects_of(staged: StagedExperiment) -> list[Effects]:
    """The columns with finished runs of any start, in the plan's order.

    Raises:
        UserError: a file of the records is damaged.
    """
    plan = staged.experiment.plan
    comparison = Comparison(plan, staged.records, {}, staged.outcomes)
    return [Effects(plan, staged.outcomes, column) for column in comparison.columns]


def key_of(effects: Effects) -> str:
    """Name of a column's table: evaluation, variant, fraction, metric."""
    column = effects.column
    parts = (column.evaluation.name, column.variant, f"{column.fraction:g}", column.metric)
    return " ".join(part for part in parts if part)


def tables(parts: Sequence[StagedExperiment]) -> dict[str, str]:
    """Key of each column -> its table in Markdown, with a note where a control is missing.

    Raises:
        UserError: a file of the records is damaged.
    """
    return {key_of(one): _markdown(one) for part in parts for one in effects_of(part)}


def with_tables(path: Path, text: str, known: Mapping[str, str]) -> str:
    """The text with the tables of its marked regions written anew.

    A region begins with `<!-- table: KEY -->` and ends with `<!-- end of table -->`, each on a line of its own.

    Raises:
        UserError: a region names an unknown table.
    """

    def table(match: re.Match[str]) -> str:
        if match["key"] not in known:
            raise UserError(
                f"{path}: table {match['key']!r} has no records, expected one of {', '.join(known) or 'none'}"
            )
        return f"{match[1]}{known[match['key']]}\n{match[3]}"

    return REGION.sub(table, text)


def page(title: str, parts: Sequence[StagedExperiment], pictures: Sequence[str]) -> str:
    """The Markdown page of all finished stages.

    Args:
        title: of the page.
        parts: with their records.
        pictures: file names of plots, next to the page.

    Raises:
        UserError: a file of the records is damaged.
    """
    lines = [ABOUT.format(title=f"# {title}"), "## Results", ""]
    for part in parts:
        for one in effects_of(part):
            lines += [f"### {one.title}", "", _markdown(one), ""]
    lines += [part for name in pictures for part in (f"![{name}]({name})", "")]
    lines += ["## Stages", "", _stages(parts).markdown(), ""]
    notes = [(folder.name, read_json(folder / STAGE).get("note")) for part in parts for folder in part.finished]
    lines += [line for name, note in notes if note for line in (f"{name}: {note}", "")]
    left = [f"{stage.name} ({stage.about.rstrip('.')})" for part in parts for stage in part.left]
    if left:
        lines += [f"Not run yet: {', '.join(left)}.", ""]
    choices = [choice for part in parts for choice in part.choices]
    if choices:
        lines += ["## Chosen settings", "", *_choices(choices)]
    return "\n".join(lines).rstrip() + "\n"


def fractions_figure(all_effects: Sequence[Effects]) -> Figure:
    """Scores, and differences to the first start with their intervals, against the labelled fraction.

    Args:
        all_effects: columns of one evaluation and one metric, by fraction.
    """
    from matplotlib.figure import Figure

    first = all_effects[0]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    scores, gains = figure.subplots(1, 2)
    methods = [method for method in first.plan.methods if any(_row(one, method.name) for one in all_effects)]
    for number, method in enumerate(methods):
        rows = [(one.column.fraction, row) for one in all_effects if (row := _row(one, method.name))]
        rows.sort(key=lambda item: item[0])
        shift = 1 + 0.03 * (number - len(methods) / 2)  # so that the bars of starts do not hide each other
        places = [100 * fraction * shift for fraction, _ in rows]
        style: dict[str, Any] = {"fmt": "o-", "color": f"C{number % 10}", "capsize": 3, "markersize": 4, "linewidth": 1}
        means = [100 * row.spread.mean for _, row in rows]
        deviations = [100 * (row.spread.std or 0) for _, row in rows]
        scores.errorbar(places, means, yerr=deviations, label=method.label, **style)
        shown = [(place, row.difference) for place, (_, row) in zip(places, rows, strict=True) if row.difference]
        values = [100 * difference.value for _, difference in shown]
        below = [value - 100 * difference.interval.low for value, (_, difference) in zip(values, shown, strict=True)]
        above = [100 * difference.interval.high - value for value, (_, difference) in zip(values, shown, strict=True)]
        if shown:
            gains.errorbar([place for place, _ in shown], values, yerr=[below, above], **style)
    gains.axhline(0, color="0.6", linewidth=1)
    metric = SCORES[first.column.metric]
    for axes, label in ((scores, f"{metric} %"), (gains, f"{metric} minus that from scratch, 95 % interval")):
        axes.set_xscale("log")
        fractions = sorted({one.column.fraction for one in all_effects})
        axes.set_xticks([100 * fraction for fraction in fractions], [percent(fraction) for fraction in fractions])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("labelled share of the training frames")
        axes.set_ylabel(label)
        axes.grid(color="0.93", linewidth=0.6)
    scores.legend(fontsize=7)
    figure.suptitle(first.column.title, fontsize=11)
    return figure


def figures(parts: Sequence[StagedExperiment]) -> dict[str, Figure]:
    """File name -> plot, one for each evaluation and metric whose columns have their controls.

    Raises:
        UserError: a file of the records is damaged.
    """
    groups: dict[str, list[Effects]] = {}
    for part in parts:
        for one in effects_of(part):
            if not (part.experiment.plan.requires_controls and one.missing_controls):
                column = one.column
                names = (column.evaluation.name, column.variant, column.metric.replace("@", "-"))
                groups.setdefault("-".join(name for name in names if name), []).append(one)
    return {f"{name}.png": fractions_figure(group) for name, group in groups.items()}


def _row(effects: Effects, method: str) -> Any:
    return next((row for row in effects.rows if row.method.name == method), None)


def _markdown(effects: Effects) -> str:
    refused = effects.plan.requires_controls and effects.missing_controls
    note = "" if refused or not effects.note else f"\n\n{effects.note}"
    return f"{effects.table().markdown()}{note}"


def _stages(parts: Sequence[StagedExperiment]) -> Table:
    header = ["stage", "what", "command", "seeds", "commit", "machine", "core minutes", "finished"]
    rows = []
    for part in parts:
        for folder in part.finished:
            facts = read_json(folder / STAGE)
            computer, commit = facts["machine"], facts["commit"] or "unknown"
            short = f"{commit[:10]}{'+changes' if commit.endswith('+changes') else ''}"
            where = f"{computer['processor']}, {facts['jobs']} of {computer['cores']} cores"
            seeds = ", ".join(map(str, facts["seeds"]))
            rows.append([folder.name, facts["about"], f"`{facts['command']}`", seeds, short, where,
                         f"{facts['core_minutes']:g}", facts["finished"]])  # fmt: skip
    return Table(header, rows)


def _choices(choices: Sequence[Choice]) -> list[str]:
    """A table for each evaluation; mean scores on the selection's split in percent, the chosen setting in bold."""
    lines = []
    for evaluation in dict.fromkeys(choice.evaluation for choice in choices):
        of = [choice for choice in choices if choice.evaluation == evaluation]
        settings = list(dict.fromkeys(name for choice in of for name in choice.scores))
        rows = []
        for choice in of:
            means = {name: 100 * sum(scores) / len(scores) for name, scores in choice.scores.items()}
            cells = [
                ""
                if name not in means
                else f"**{means[name]:.1f}**"
                if name == choice.setting
                else f"{means[name]:.1f}"
                for name in settings
            ]
            rows.append([choice.method, percent(choice.fraction), *cells])
        title = f"{evaluation}, score % on split {of[0].split}"
        lines += [f"### {title}", "", Table(["start", "labels", *settings], rows).markdown(), ""]
    return lines
