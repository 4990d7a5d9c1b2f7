"""The runs of a plan and their order; each run is one `pc-ssl` command.

work_dir/pretrain/NAME/seed-K                            one folder for each run, as `pc-ssl pretrain`, `probe`,
         EVALUATION/METHOD/labels-0.05/seed-K            `finetune` and `evaluate` write them
         EVALUATION/METHOD/labels-0.05/seed-K/on-NAME    a variant of the evaluation data
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.cache import MANIFEST
from pc_ssl.engine.initial import WHOLE
from pc_ssl.engine.segmentation import TEXT
from pc_ssl.engine.weights import read_tensors
from pc_ssl.evaluation.run_result import RESULT, WEIGHTS
from pc_ssl.experiments.jobs import Job
from pc_ssl.experiments.plan import PRETRAIN, Evaluation, Kind, Method, Plan, Pretraining, Variant
from pc_ssl.experiments.plan import Weights as Source
from pc_ssl.files import sha256_of


@dataclass(frozen=True)
class PretrainingRun:
    """One seed of a pretraining."""

    pretraining: Pretraining
    seed: int


@dataclass(frozen=True)
class EvaluationRun:
    """One seed of an evaluation of a method, on the validation split or on a variant of the data."""

    evaluation: Evaluation
    method: Method
    fraction: float
    seed: int
    variant: Variant | None = None


@dataclass(frozen=True)
class Stage:
    """Runs that need only the stages before; they run in parallel."""

    name: str
    runs: tuple[PretrainingRun | EvaluationRun, ...]


def stages_of(plan: Plan) -> tuple[Stage, ...]:
    """The pretrainings, those that others start from first, then each evaluation, then its variants."""
    stages = []
    for number, generation in enumerate(plan.generations, start=1):
        runs = tuple(PretrainingRun(pretraining, seed) for pretraining in generation for seed in plan.seeds)
        stages.append(Stage(PRETRAIN if number == 1 else f"{PRETRAIN}-{number}", runs))
    for evaluation in plan.evaluations:
        trained = tuple(
            EvaluationRun(evaluation, method, fraction, seed)
            for method in plan.methods
            for fraction in evaluation.fractions
            for seed in plan.seeds
        )
        stages.append(Stage(evaluation.name, trained))
        for variant in evaluation.variants:
            runs_on_variant = tuple(replace(run, variant=variant) for run in trained)
            stages.append(Stage(f"{evaluation.name}-on-{variant.name}", runs_on_variant))
    return tuple(stages)


@dataclass(frozen=True)
class Commands:
    """The command of each run.

    Args:
        plan: what is run.
        cache: prepared frames.
        work_dir: for everything.
        device: "cpu", "cuda" or "auto".
    """

    plan: Plan
    cache: Path
    work_dir: Path
    device: str

    def config(self, run: PretrainingRun | EvaluationRun) -> RunConfig:
        """The run's config with its overrides.

        Raises:
            UserError: it cannot be read.
        """
        if isinstance(run, PretrainingRun):
            return load_config(Path(run.pretraining.config), self._overrides(run))
        return load_config(Path(run.evaluation.config), self._overrides(run))

    def folder(self, run: PretrainingRun | EvaluationRun) -> Path:
        if isinstance(run, PretrainingRun):
            return self.work_dir / PRETRAIN / run.pretraining.name / f"seed-{run.seed}"
        path = self.work_dir / run.evaluation.name / run.method.name / f"labels-{run.fraction:g}" / f"seed-{run.seed}"
        return path if run.variant is None else path / f"on-{run.variant.name}"

    def product(self, run: PretrainingRun | EvaluationRun) -> Path:
        """The file that the run writes last."""
        return self.folder(run) / (WEIGHTS if isinstance(run, PretrainingRun) else RESULT)

    def files(self, init: Mapping[str, Source], seed: int) -> dict[str, Path]:
        """Submodule -> file of weights."""
        return {
            part: self.product(PretrainingRun(source, seed)) if isinstance(source, Pretraining) else source
            for part, source in init.items()
        }

    def needs(self, run: PretrainingRun | EvaluationRun) -> dict[str, Path]:
        """The files of weights that must exist before the run, by submodule or WHOLE."""
        if isinstance(run, PretrainingRun):
            return self.files(run.pretraining.init, run.seed)
        if run.variant is not None and run.evaluation.kind is not Kind.ANNOTATION_FREE:
            return {WHOLE: self.folder(replace(run, variant=None)) / WEIGHTS}
        return self.files(run.method.init, run.seed)

    def applies(self, run: PretrainingRun | EvaluationRun) -> bool:
        """Whether the run can be made: without annotations only if one file of weights holds texts of classes.

        Raises:
            UserError: that file cannot be read.
        """
        if isinstance(run, PretrainingRun) or run.evaluation.kind is not Kind.ANNOTATION_FREE:
            return True
        files = self.needs(run)
        return list(files) == [WHOLE] and TEXT in read_tensors(files[WHOLE])[0]

    def job(self, run: PretrainingRun | EvaluationRun) -> Job:
        """The run's command; its weights exist.

        Raises:
            UserError: a file of weights, the config or the cache cannot be read.
        """
        arguments = self._pretrain(run) if isinstance(run, PretrainingRun) else self._evaluate(run)
        overrides = [part for text in self._overrides(run) for part in ("--set", text)]
        variant = run.variant if isinstance(run, EvaluationRun) else None
        cache = self.cache if variant is None or variant.cache is None else variant.cache
        command, config, *options = arguments
        folder = self.folder(run)
        return Job(
            [command, config, "--cache", cache, "--work-dir", folder, *options, *overrides, "--device", self.device],
            folder,
            self.product(run),
            key="".join([self.config(run).hash, self._checksum(cache), *map(sha256_of, self.needs(run).values())]),
        )

    def _overrides(self, run: PretrainingRun | EvaluationRun) -> tuple[str, ...]:
        if isinstance(run, PretrainingRun):
            return (*run.pretraining.overrides, *self.plan.budget_overrides, f"train.seed={run.seed}")
        overrides = (*run.evaluation.overrides, *run.method.overrides.get(run.evaluation.name, ()))
        if run.variant is None:
            return overrides
        changes = [dict(transform) for transform in run.variant.transforms]
        return (*overrides, *([f"evaluation_transforms={changes!r}"] if changes else []), *run.variant.overrides)

    def _pretrain(self, run: PretrainingRun) -> list[str | Path]:
        split = run.pretraining.split or self.plan.train_split
        arguments: list[str | Path] = ["pretrain", Path(run.pretraining.config), "--resume"]
        return [*arguments, *_init(self.needs(run)), *([] if split is None else ["--split", split])]

    def _evaluate(self, run: EvaluationRun) -> list[str | Path]:
        evaluation, config = run.evaluation, Path(run.evaluation.config)
        of_variant = None if run.variant is None else run.variant.split
        train_split, val_split = self.plan.train_split, of_variant or self.plan.val_split
        if run.variant is not None or evaluation.kind is Kind.ANNOTATION_FREE:
            options: list[str | Path] = ["--weights", self.needs(run)[WHOLE]]
            options += ["--annotation-free"] if evaluation.kind is Kind.ANNOTATION_FREE else []
            return ["evaluate", config, *options, *([] if val_split is None else ["--split", val_split])]
        options = ["--seed", str(run.seed), *_init(self.needs(run))]
        options += [] if train_split is None else ["--train-split", train_split]
        options += [] if val_split is None else ["--val-split", val_split]
        options += ["--label-offset", str(evaluation.label_offset)] if evaluation.label_offset else []
        if evaluation.kind is Kind.PROBE:
            options += [] if evaluation.protocol is None else ["--protocol", evaluation.protocol]
            return ["probe", config, *options]
        options += ["--labels", f"{run.fraction:g}"]
        options += [] if evaluation.label_scenes is None else ["--label-scenes", evaluation.label_scenes]
        options += [] if evaluation.label_points is None else ["--label-points", str(evaluation.label_points)]
        return ["finetune", config, *options]

    def _checksum(self, cache: Path) -> str:
        return self._own_checksum if cache == self.cache else sha256_of(cache / MANIFEST)

    @cached_property
    def _own_checksum(self) -> str:
        return sha256_of(self.cache / MANIFEST)


def _init(files: Mapping[str, Path]) -> list[str | Path]:
    """The options that name these weights."""
    return [part for name, file in files.items() for part in ("--init", f"{name}={file}" if name else file)]
