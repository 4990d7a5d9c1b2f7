"""Pretrain and evaluate several methods under one budget, and set them beside training from scratch.

work_dir/METHOD/seed-K/pretrain                 one folder for each run, as `pc-ssl pretrain`, `probe` and `finetune`
                       probe                    leave them
                       finetune-0.05
                       annotation-free
work_dir/compare.json, .md, .csv                the table, written when all runs are done

Each run is a `pc-ssl` command in a process of its own; a comparison that was stopped goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.engine.jobs import Job, run_jobs
from pc_ssl.engine.labels import Labels
from pc_ssl.engine.segmentation import TEXT
from pc_ssl.engine.weights import read_tensors
from pc_ssl.errors import UserError
from pc_ssl.evaluation.comparison import SCRATCH, Comparison, Row, Spread
from pc_ssl.evaluation.run_result import RESULT, WEIGHTS, RunResult
from pc_ssl.files import sha256_of, write_bytes, write_json

PROBE = "linear probe"
ANNOTATION_FREE = "annotation-free"  # of methods whose weights hold texts of classes


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Args:
        methods: configs of pretraining methods; a method is called after its file.
        task: config of the segmentation task, with the backbone that all methods pretrain.
        cache: prepared frames.
        work_dir: for everything.
        seeds: runs of each method, with seeds 0, 1, ...: each pretrains, probes and fine-tunes anew.
        labels: labelled shares of the training scenes in fine-tuning.
        steps: of pretraining, instead of what the configs say.
        batch_size: of pretraining, instead of what the configs say.
        splits: training and validation split; None: the cache's usual ones.
        jobs: commands that run at once, each with one core.
        device: "cpu", "cuda" or "auto".

    Raises:
        UserError: there is nothing to compare.
    """

    methods: tuple[Path, ...]
    task: Path
    cache: Path
    work_dir: Path
    seeds: int = 3
    labels: tuple[float, ...] = (0.01, 0.05, 0.1, 1.0)
    steps: int | None = None
    batch_size: int | None = None
    splits: tuple[str | None, str | None] = (None, None)
    jobs: int = os.cpu_count() or 1
    device: str = "auto"

    def __post_init__(self) -> None:
        names = [path.stem for path in self.methods]
        twice = sorted({name for name in names if names.count(name) > 1} | ({SCRATCH} & set(names)))
        if not names or twice:
            raise UserError(f"compare: need configs with names of their own, got {', '.join(names) or 'none'}")
        if self.seeds < 1 or not self.labels:
            raise UserError(f"compare: need one seed and one fraction of labels at least, got {self.seeds}")

    @property
    def overrides(self) -> list[str]:
        """What all methods are told beside their configs."""
        given = {"train.steps": self.steps, "train.batch_size": self.batch_size}
        return [f"{name}={value}" for name, value in given.items() if value is not None]


def compare(plan: Plan) -> Comparison:
    """Run what is left to do, and write the tables.

    Raises:
        UserError: the methods do not share a backbone and a budget, a fraction holds less than a batch, or a command
            failed.
    """
    configs = {path.stem: load_config(path, plan.overrides) for path in plan.methods}
    task = load_config(plan.task)
    budget = check_budget(configs, task)
    check_labels(plan, task)
    jobs = _Jobs(plan, configs, task)
    run_jobs([jobs.pretrain(name, seed) for name in configs for seed in range(plan.seeds)], plan.jobs)
    names = (SCRATCH, *configs)
    evaluations = {name: [jobs.evaluations(name, seed) for seed in range(plan.seeds)] for name in names}
    run_jobs([job for of_name in evaluations.values() for of_seed in of_name for job in of_seed.values()], plan.jobs)
    rows = tuple(_row(plan, jobs, name, evaluations[name]) for name in names)
    free = (ANNOTATION_FREE,) if any(ANNOTATION_FREE in row.miou for row in rows) else ()
    comparison = Comparison(
        columns=(PROBE, *(percent(share) for share in plan.labels), *free),
        rows=rows,
        seeds=plan.seeds,
        budget=budget,
    )
    write_json(plan.work_dir / "compare.json", comparison.as_dict())
    write_bytes(plan.work_dir / "compare.md", comparison.markdown().encode())
    write_bytes(plan.work_dir / "compare.csv", comparison.csv().encode())
    return comparison


def describe(plan: Plan) -> str:
    """What `compare` would run, without running it.

    Raises:
        UserError: as `compare`.
    """
    configs = {path.stem: load_config(path, plan.overrides) for path in plan.methods}
    task = load_config(plan.task)
    budget = check_budget(configs, task)
    check_labels(plan, task)
    runs = plan.seeds * (len(configs) + (len(configs) + 1) * (1 + len(plan.labels)))
    return "\n".join(
        [
            f"methods          {SCRATCH}, {', '.join(configs)}",
            f"seeds            {plan.seeds}",
            f"budget           {', '.join(f'{name} {value}' for name, value in budget.items())}",
            f"columns          {', '.join((PROBE, *map(percent, plan.labels)))}",
            f"runs             {runs}, {plan.jobs} at once, below {plan.work_dir}",
        ]
    )


def check_budget(configs: Mapping[str, RunConfig], task: RunConfig) -> dict[str, Any]:
    """What all methods share.

    Raises:
        UserError: a config is of another kind, or backbone, steps or batch size differ.
    """
    if task.kind != "task":
        raise UserError(f"{task.path}: holds a pretraining method, expected a `task`")
    backbone = task.values["task"].get("backbone")
    shared: dict[str, Any] = {}
    for config in configs.values():
        if config.kind != "method":
            raise UserError(f"{config.path}: holds a downstream task, expected a `method`")
        if config.values["method"].get("backbone") != backbone:
            raise UserError(
                f"{config.path}: method.backbone is {config.values['method'].get('backbone')}, but task.backbone in "
                f"{task.path} is {backbone}; a comparison needs one backbone"
            )
        for name in ("steps", "batch_size"):
            value = config.values["train"].get(name)
            if shared.setdefault(name, value) != value:
                raise UserError(
                    f"{config.path}: train.{name} is {value}, elsewhere {shared[name]}; give one for all with "
                    f"--{name.replace('_', '-')}"
                )
    return shared


def check_labels(plan: Plan, task: RunConfig) -> None:
    """That each fraction holds a batch at least, before hours of pretraining end at one that does not.

    Raises:
        UserError: one holds fewer frames, or the cache cannot be read.
    """
    cache, batch_size = Cache(plan.cache), task.values["train"]["batch_size"]
    split = plan.splits[0] or cache.default_split("train")
    for share in plan.labels:
        frames = len(Labels(share, train_split=split).rows(cache))
        if frames < batch_size:
            raise UserError(
                f"--labels {share:g}: {frames} of the {len(cache.indices(split))} frames of {split} in {plan.cache}, "
                f"fewer than train.batch_size {batch_size} in {task.path}"
            )


def percent(share: float) -> str:
    """0.05 -> "5 %"."""
    return f"{100 * share:g} %"


@dataclass(frozen=True)
class _Jobs:
    """The commands of a comparison."""

    plan: Plan
    configs: Mapping[str, RunConfig]
    task: RunConfig

    def pretrain(self, name: str, seed: int) -> Job:
        config, folder = self.configs[name], self._folder(name, seed) / "pretrain"
        split = self.plan.splits[0]
        arguments = [
            *("pretrain", config.path, "--cache", self.plan.cache, "--work-dir", folder, "--resume"),
            *(part for text in (*self.plan.overrides, f"train.seed={seed}") for part in ("--set", text)),
            *(() if split is None else ("--split", split)),
            *("--device", self.plan.device),
        ]
        return Job(arguments, folder, folder / WEIGHTS, self._key(config))

    def evaluations(self, name: str, seed: int) -> dict[str, Job]:
        """Column -> the command that measures it; the pretraining is done."""
        weights = None if name == SCRATCH else self._folder(name, seed) / "pretrain" / WEIGHTS
        key = self._key(self.task) + ("" if weights is None else sha256_of(weights))
        train_split, val_split = self.plan.splits

        def job(command: str, folder_name: str, *options: str | Path) -> Job:
            folder = self._folder(name, seed) / folder_name
            arguments = [command, self.task.path, "--cache", self.plan.cache, "--work-dir", folder, *options]
            return Job([*arguments, "--device", self.plan.device], folder, folder / RESULT, key)

        start: list[str | Path] = ["--seed", str(seed)]
        start += [] if weights is None else ["--init", weights]
        start += [] if train_split is None else ["--train-split", train_split]
        start += [] if val_split is None else ["--val-split", val_split]
        columns = {PROBE: job("probe", "probe", *start)}
        for share in self.plan.labels:
            columns[percent(share)] = job("finetune", f"finetune-{share:g}", "--labels", f"{share:g}", *start)
        if weights is not None and TEXT in read_tensors(weights)[0]:
            options: list[str | Path] = ["--weights", weights, "--annotation-free"]
            options += [] if val_split is None else ["--split", val_split]
            columns[ANNOTATION_FREE] = job("evaluate", "annotation-free", *options)
        return columns

    def _key(self, config: RunConfig) -> str:
        return config.hash + self._cache_checksum

    @cached_property
    def _cache_checksum(self) -> str:
        return sha256_of(self.plan.cache / MANIFEST)

    def _folder(self, name: str, seed: int) -> Path:
        return self.plan.work_dir / name / f"seed-{seed}"


def _row(plan: Plan, jobs: _Jobs, name: str, evaluations: Sequence[Mapping[str, Job]]) -> Row:
    """What a method's evaluations, one for each seed, left."""
    costs = [] if name == SCRATCH else [jobs.pretrain(name, seed).cost() for seed in range(plan.seeds)]
    known = [cost for cost in costs if cost is not None]
    return Row(
        name=name,
        miou={
            column: Spread(tuple(RunResult.read(of_seed[column].product).segmentation.miou for of_seed in evaluations))
            for column in evaluations[0]
        },
        seconds=Spread(tuple(cost.seconds for cost in known)) if known else None,
        peak_memory_mib=Spread(tuple(cost.peak_memory_mib for cost in known)) if known else None,
    )
