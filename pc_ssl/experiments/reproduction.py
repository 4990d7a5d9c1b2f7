"""Run a published table on a copy of its data set, and print measured beside published scores.

work_dir/cache-NAME     one for each preparation of the table
         ...            runs and records, as `experiment.py` writes them; pretrainings are shared between the parts
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pc_ssl.config import RunConfig
from pc_ssl.data.cache import MANIFEST
from pc_ssl.engine.catalogue import Entry, entries
from pc_ssl.errors import UsageError, UserError
from pc_ssl.experiments.checks import check_networks
from pc_ssl.experiments.comparison import Spread, Table, percent
from pc_ssl.experiments.experiment import Experiment
from pc_ssl.experiments.jobs import Job, run_jobs
from pc_ssl.experiments.plan import Evaluation, Kind, Plan
from pc_ssl.experiments.published_table import Part, Preparation, PublishedTable
from pc_ssl.experiments.records import ALL, SCORES, Record, values_of, write_records
from pc_ssl.experiments.runs import EvaluationRun, PretrainingRun
from pc_ssl.methods.sim_ipu import JointViews
from pc_ssl.recipes import find_config
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.foreground import ForegroundViews
from pc_ssl.views.lidar import PairViews, SingleView
from pc_ssl.views.scan_pairs import ScanPairViews
from pc_ssl.views.sensors import SensorViews

FORWARD, FORWARD_AND_BACKWARD = 1, 3  # cost of a step of frozen and of trained networks, in forward passes
VIEWS = {  # class of the views -> forward passes of the trained backbone for one frame
    view.__qualname__: number
    for view, number in (
        (PairViews, 2), (ScanPairViews, 2), (ForegroundViews, 2), (SensorViews, 1), (DrawnViews, 1), (JointViews, 1),
        (SingleView, 1),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Training:
    """Runs that cost the same.

    Args:
        text: command, number, steps.
        count: number of runs.
        operations: floating-point operations of each; None: not counted.
    """

    text: str
    count: int
    operations: float | None

    def hours(self, teraflops: float) -> float | None:
        """Of a GPU that sustains this speed, in 10^12 operations a second, for all runs."""
        return None if self.operations is None else self.count * self.operations / (teraflops * 1e12) / 3600


@dataclass(frozen=True)
class Reproduction:
    """A table with the place of its data.

    Args:
        table: what to run.
        root: of the data set.
        work_dir: for caches, runs and results.
        label_lists: folder that relative names of `Evaluation.label_scenes` start from; None: the table has none.
        seeds: number of runs of each method.
        jobs: commands that run in parallel, one core each.
        workers: processes of `pc-ssl prepare`.
        device: "cpu", "cuda" or "auto".
    """

    table: PublishedTable
    root: Path
    work_dir: Path
    label_lists: Path | None = None
    seeds: int = 1
    jobs: int = 1
    workers: int = 1
    device: str = "auto"

    def run(self) -> str:
        """Run what is not finished, and collect the scores.

        Returns:
            The text of the table.

        Raises:
            UserError: a list of labelled scenes is missing, networks do not fit together, or a command failed.
        """
        plans = [(part, self.plan(part)) for part in self.table.parts]
        for part, plan in plans:
            experiment = self._experiment(part, plan)
            check_networks(plan, experiment.commands)
        for part, plan in plans:
            run_jobs([self._prepare(part.preparation)], self.jobs)
            self._experiment(part, plan).run()
        records = [record for part, plan in plans for record in self._experiment(part, plan).records()]
        write_records(self.work_dir, records)
        return self.text(records)

    def text(self, records: list[Record]) -> str:
        """Measured and published scores of all parts, whose evaluations have distinct names; "-" for what was not
        measured or not published."""
        blocks = [self.table.title, f"source: {self.table.source}", "measured (published), %"]
        for part in self.table.parts:
            blocks += [f"\n{part.name}", scores_of(part, records).text(), *differences_of(part, records)]
        return "\n".join([*blocks, "", *(f"differs: {text}" for text in self.table.differences)])

    def describe(self, teraflops: float) -> str:
        """Commands, steps and hours, without reading any data.

        Args:
            teraflops: what a GPU is assumed to sustain, in 10^12 floating-point operations a second.

        Raises:
            UserError: networks do not fit together.
        """
        lines = [self.table.title, f"source: {self.table.source}"]
        total, known, seen = 0.0, True, set[str]()
        for part in self.table.parts:
            plan = replace(part.plan, seeds=tuple(range(self.seeds)))
            check_networks(plan, self._experiment(part, plan).commands)
            lines += [f"\n{part.name}", self._prepare(part.preparation).command]
            for run in self._runs(part, plan):
                if run.text not in seen:
                    seen.add(run.text)
                    hours = run.hours(teraflops)
                    lines.append(f"  {run.text}: {'not counted' if hours is None else f'{hours:.1f} GPU hours'}")
                    total, known = total + (hours or 0.0), known and hours is not None
        lines += [
            f"\ntotal: {'' if known else 'at least '}{total:.0f} GPU hours at an assumed {teraflops:g} TFLOP/s; of the "
            "trained backbone alone, without teachers, heads, loading and evaluation",
            *(f"differs: {text}" for text in self.table.differences),
        ]
        return "\n".join(lines)

    def plan(self, part: Part) -> Plan:
        """The part's plan with seeds and lists of labelled scenes.

        Raises:
            UserError: a list is missing.
        """
        evaluations = tuple(self._with_list(evaluation) for evaluation in part.plan.evaluations)
        return replace(part.plan, seeds=tuple(range(self.seeds)), evaluations=evaluations)

    def _with_list(self, evaluation: Evaluation) -> Evaluation:
        if evaluation.label_scenes is None:
            return evaluation
        if self.label_lists is None:
            raise UsageError(
                f"label-lists: evaluation {evaluation.name!r} needs the list {evaluation.label_scenes}; give its folder"
            )
        path = self.label_lists / evaluation.label_scenes
        if not path.exists():
            raise UserError(f"{path}: no such file; it names the labelled scenes of evaluation {evaluation.name!r}")
        return replace(evaluation, label_scenes=path)

    def _cache(self, preparation: Preparation) -> Path:
        return self.work_dir / f"cache-{preparation.name}"

    def _prepare(self, preparation: Preparation) -> Job:
        cache = self._cache(preparation)
        arguments: list[str | Path] = ["prepare", preparation.data_set, "--root", self.root, *preparation.options]
        arguments += ["--out", cache, "--workers", str(self.workers)]
        return Job(arguments, self.work_dir / f"prepare-{preparation.name}", cache / MANIFEST)

    def _experiment(self, part: Part, plan: Plan) -> Experiment:
        return Experiment(plan, self._cache(part.preparation), self.work_dir, self.jobs, self.device)

    def _runs(self, part: Part, plan: Plan) -> Iterator[Training]:
        """The trainings of a part; those that differ in seed or initial weights alone are one with a count."""
        commands = self._experiment(part, plan).commands
        for pretraining in plan.pretrainings:
            config = commands.config(PretrainingRun(pretraining, 0))
            yield self._training(f"pretrain {pretraining.config}", self.seeds, config, FORWARD_AND_BACKWARD)
        for evaluation in plan.evaluations:
            config = commands.config(EvaluationRun(evaluation, plan.methods[0], evaluation.fractions[0], 0))
            count = self.seeds * len(plan.methods)
            if evaluation.kind is Kind.FINETUNE:
                text = f"finetune {evaluation.config}, {evaluation.name}"
                yield self._training(text, count, config, FORWARD_AND_BACKWARD)
            elif evaluation.protocol is not None:
                yield self._training(f"probe {evaluation.config}, {evaluation.name}", count, config, FORWARD)

    def _training(self, text: str, count: int, config: RunConfig, passes: int) -> Training:
        entry, train = self._entries[find_config(config.path).resolve()], config.values["train"]
        frames = train["steps"] * train["batch_size"]
        operations = None if entry.operations is None else entry.operations * passes * views_of(entry) * frames
        return Training(f"{text}, {count} x {train['steps']} steps of {train['batch_size']}", count, operations)

    @cached_property
    def _entries(self) -> dict[Path, Entry]:
        return {Path(entry.config.path).resolve(): entry for entry in entries()}


def views_of(entry: Entry) -> int:
    """Forward passes of the trained backbone for one frame.

    Raises:
        KeyError: the config's views are of a class that VIEWS does not list.
    """
    part = entry.config.values[entry.config.kind]
    views = part["views"] if "views" in part else part["view"]
    return VIEWS[str(views["type"]).rsplit(".", 1)[-1]]


def scores_of(part: Part, records: list[Record]) -> Table:
    """Methods as rows; a column for each evaluation and metric that was measured or published."""
    columns = [
        (evaluation, metric)
        for evaluation in part.plan.evaluations
        for metric in SCORES
        if any(
            _measured(records, method.name, evaluation, metric)
            or part.published(method.name, evaluation, metric) is not None
            for method in part.plan.methods
        )
    ]
    header = ["", *(f"{evaluation.title or evaluation.name} {SCORES[metric]}" for evaluation, metric in columns)]
    rows = []
    for method in part.plan.methods:
        cells = []
        for evaluation, metric in columns:
            measured = _measured(records, method.name, evaluation, metric)
            published = part.published(method.name, evaluation, metric)
            known = "-" if published is None else f"{published:g}"
            cells.append(f"{'-' if measured is None else measured.text(100, 1)} ({known})")
        rows.append([method.label, *cells])
    return Table(header, rows)


def differences_of(part: Part, records: list[Record]) -> list[str]:
    """Published differences between two methods, with those of the measured means."""
    evaluations = {evaluation.name: evaluation for evaluation in part.plan.evaluations}
    lines = []
    for score in part.scores:
        if score.against is None:
            continue
        evaluation = evaluations[score.evaluation]
        one = _measured(records, score.method, evaluation, score.metric)
        other = _measured(records, score.against, evaluation, score.metric)
        measured = "-" if one is None or other is None else f"{100 * (one.mean - other.mean):+.1f}"
        where = f"{evaluation.title or percent(evaluation.fractions[0])}, {SCORES[score.metric]}"
        lines.append(f"{score.method} - {score.against}, {where}: {measured} ({score.value:+g})")
    return lines


def _measured(records: list[Record], method: str, evaluation: Evaluation, metric: str) -> Spread | None:
    values = values_of(
        records, method=method, evaluation=evaluation.name, variant="", fraction=evaluation.fractions[0],
        metric=metric, scene=ALL,
    )  # fmt: skip
    return Spread(values) if values else None
