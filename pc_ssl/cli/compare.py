"""The command that compares methods over seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pc_ssl.cli.app import DryRun, app, numbers
from pc_ssl.cli.train import CacheFolder, Device, TrainSplit, ValSplit, WorkDir
from pc_ssl.errors import UsageError

if TYPE_CHECKING:
    from pc_ssl.experiments import Method, Plan

DEFAULT_SEEDS = 3
DEFAULT_LABELS = "0.01,0.05,0.1,1"


@app.command()
def compare(
    cache: CacheFolder,
    work_dir: WorkDir,
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]CONFIG[,key=value...]",
            help="Pretraining methods with overrides; without NAME= a method is called after its file.",
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]CONFIG[,key=value...]",
            help="Downstream task with the same backbone; repeatable. Points are probed and fine-tuned, other tasks "
            "fine-tuned.",
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Python file that defines a `plan`, or the name of one in configs/plans, instead of methods and "
            "tasks. It is executed: use only files you trust.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Runs of each method, from initialisation on. [default: the plan's, or 3]", min=1)
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help=f"Labelled shares of the training scenes. [default: {DEFAULT_LABELS}]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of every pretraining. [default: as the configs agree]")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Batch of every pretraining. [default: as the configs agree]")
    ] = None,
    train_split: TrainSplit = None,
    val_split: ValSplit = None,
    jobs: Annotated[int | None, typer.Option(help="Runs at once, one core each. [default: all cores]", min=1)] = None,
    dry_run: DryRun = False,
    device: Device = "auto",
) -> None:
    """Pretrain and evaluate several methods under one budget, and compare them with training from scratch.

    Prints mean and deviation over seeds, and each method's paired difference to scratch with a 95 % bootstrap interval
    over seeds and scenes: "not shown" where it holds zero. A task's config as a method is pretraining with all labels,
    a positive control.

    Writes records.jsonl and records.csv (one line for each number), results.jsonl (the counts of each scene),
    compare.md and compare.png. A comparison that was stopped goes on where it was.

    Example: `pc-ssl compare demo/prc alpha05=demo/prc,method.alpha=0.5 --task demo/segmentation --cache cache
    --work-dir work_dirs/compare --labels 0.05,1`
    """
    import os

    from pc_ssl.experiments import Experiment, load_plan
    from pc_ssl.experiments.effects import sections_of
    from pc_ssl.files import write_bytes
    from pc_ssl.report.comparison import comparison_figure
    from pc_ssl.report.pictures import png

    if plan is None:
        fractions = numbers(labels or DEFAULT_LABELS, "--labels", "0.05,1")
        what = _plan(methods or [], task or [], fractions)
    elif methods or task or labels:
        raise UsageError("compare: --plan names the methods, tasks and labels itself; leave these out")
    else:
        what = load_plan(plan)
    what = replace(
        what,
        seeds=what.seeds if seeds is None else tuple(range(seeds)),
        steps=what.steps if steps is None else steps,
        batch_size=what.batch_size if batch_size is None else batch_size,
        train_split=train_split or what.train_split,
        val_split=val_split or what.val_split,
    )
    experiment = Experiment(what, cache, work_dir, jobs or os.cpu_count() or 1, device)
    if dry_run:
        print(experiment.describe())
        return
    comparison = experiment.run()
    sections = sections_of(comparison)
    write_bytes(work_dir / "compare.md", ("\n\n".join(section.markdown() for section in sections) + "\n").encode())
    if not what.requires_controls:
        write_bytes(work_dir / "compare.png", png(comparison_figure(comparison)))
    print("\n\n".join(section.text() for section in sections))


def _plan(methods: list[str], tasks: list[str], fractions: tuple[float, ...]) -> Plan:
    """Scratch and the methods, on each task.

    Raises:
        UsageError: a name appears twice, or a method or a task is missing.
    """
    from pc_ssl.experiments import Method, Plan
    from pc_ssl.experiments.plan import SCRATCH, parse_method
    from pc_ssl.experiments.tasks import evaluations_of

    if not methods or not tasks:
        raise UsageError("compare: expected at least one method and one --task, or a --plan")
    parsed = [_with_role(parse_method(text)) for text in methods]
    names = [method.name for method in parsed]
    twice = sorted({name for name in names if names.count(name) > 1 or name == SCRATCH})
    if twice:
        raise UsageError(
            f"compare: method {twice[0]!r}: names must be distinct and not {SCRATCH!r}; give one by NAME=CONFIG"
        )
    evaluations = tuple(one for text in tasks for one in evaluations_of(text, fractions, len(tasks) > 1))
    return Plan((Method(SCRATCH), *parsed), evaluations, tuple(range(DEFAULT_SEEDS)))


def _with_role(method: Method) -> Method:
    """A method that is pretrained with labels is a positive control."""
    from pc_ssl.config import load_config
    from pc_ssl.experiments.plan import Role, chain_of

    (pretraining,) = chain_of(method.init)
    supervised = load_config(Path(pretraining.config), pretraining.overrides).kind == "task"
    return replace(method, role=Role.POSITIVE_CONTROL) if supervised else method
