"""A page about an experiment: its table, its pretrainings, and what the networks of the first seed predict."""

from __future__ import annotations

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import load_task
from pc_ssl.evaluation.run_result import CONFIG, WEIGHTS, RunResult
from pc_ssl.evaluation.segmentation import SegmentationResult
from pc_ssl.experiments import Comparison, Evaluation, Experiment, Kind
from pc_ssl.experiments.comparison import DEFAULT_TITLES
from pc_ssl.experiments.effects import sections_of
from pc_ssl.experiments.runs import EvaluationRun, PretrainingRun
from pc_ssl.report import html, sections
from pc_ssl.report.page import of_result


def experiment_page(title: str, experiment: Experiment, comparison: Comparison) -> str:
    """The page as HTML. Regions, features and predictions are of one validation frame, by networks of the first seed.

    Raises:
        UserError: a result or a frame is damaged.
    """
    plan, commands, cache = experiment.plan, experiment.commands, Cache(experiment.cache)
    rows = cache.indices(plan.val_split or cache.default_split("val"))
    shown, results = rows[len(rows) // 2], sections_of(comparison)
    parts = [
        html.heading("Result"),
        *(
            html.table(one.table.header, one.table.rows, " ".join(filter(None, (one.title, one.note))))
            for one in results
        ),
        html.heading("Regions"),
        *sections.regions(cache[shown]),
    ]
    for pretraining in plan.pretrainings:
        seeds = plan.seeds[: pretraining.runs]
        below = "train" if commands.is_supervised(pretraining) else "."  # the log of a fine-tuning is there
        folders = {f"seed {seed}": commands.folder(PretrainingRun(pretraining, seed)) / below for seed in seeds}
        parts += [html.heading(pretraining.name.upper()), *sections.training(folders)]
    for evaluation in plan.evaluations:
        parts += _evaluation(experiment, evaluation, cache, shown)
    return html.page(title, parts)


def _evaluation(experiment: Experiment, evaluation: Evaluation, cache: Cache, shown: int) -> list[str]:
    """Methods in one picture for segmentation of points, one section for each method for other tasks."""
    plan, commands, fraction = experiment.plan, experiment.commands, evaluation.fractions[0]
    title = (evaluation.title or DEFAULT_TITLES[evaluation.kind]).capitalize()
    runs = {
        method.label: [
            run
            for seed in plan.seeds
            if commands.product(run := EvaluationRun(evaluation, method, fraction, seed)).exists()
        ]
        for method in plan.methods
    }
    results = {label: [RunResult.read(commands.product(run)) for run in of] for label, of in runs.items() if of}
    folders = {label: commands.folder(runs[label][0]) for label in results}
    if not all(isinstance(run.result, SegmentationResult) for of in results.values() for run in of):
        sections_of = ([html.heading(f"{title}, {label}"), *of_result(path)] for label, path in folders.items())
        return [part for section in sections_of for part in section]
    parts = [html.heading(title)]
    if evaluation.kind is not Kind.ANNOTATION_FREE:
        networks = {
            label: load_task(load_config(path / CONFIG), cache, path / WEIGHTS) for label, path in folders.items()
        }
        parts += sections.features(cache, shown, networks) if evaluation.kind is Kind.PROBE else []
        parts += sections.predictions(cache, shown, networks)
    return [*parts, *(sections.classes(results) if results else [])]
