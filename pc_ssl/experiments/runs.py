"""The runs of a plan and their order; each run is one `pc-ssl` command.

work_dir/pretrain/NAME/seed-K                            one folder for each run, as `pc-ssl pretrain`, `probe`,
         EVALUATION/METHOD/labels-0.05/seed-K            `finetune` and `evaluate` write them
         EVALUATION/METHOD/labels-0.05/seed-K/on-NAME    a variant of the evaluation data
         EVALUATION/METHOD/labels-0.05/choice/SETTING/seed-K    by which the setting of these runs is chosen
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.cache import MANIFEST
from pc_ssl.engine.initial import WHOLE
from pc_ssl.engine.segmentation import TEXT
from pc_ssl.engine.weights import read_tensors
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import RESULT, WEIGHTS, RunResult
from pc_ssl.experiments.jobs import Job
from pc_ssl.experiments.plan import PRETRAIN, Evaluation, Kind, Method, Permuted, Plan, Pretraining, Variant
from pc_ssl.experiments.plan import Weights as Source
from pc_ssl.experiments.selection import Choice, Setting
from pc_ssl.files import sha256_of


@dataclass(frozen=True)
class PretrainingRun:
    """One seed of a pretraining."""

    pretraining: Pretraining
    seed: int


@dataclass(frozen=True)
class EvaluationRun:
    """One seed of an evaluation of a method.

    Args:
        evaluation, method: of the plan.
        fraction: labelled share.
        seed: of the run.
        variant: of the evaluation data; None: the validation split.
        candidate: a setting that is tried for the choice; None: a run whose score is reported, by the chosen setting.
    """

    evaluation: Evaluation
    method: Method
    fraction: float
    seed: int
    variant: Variant | None = None
    candidate: Setting | None = None


@dataclass(frozen=True)
class Stage:
    """Runs that need only the stages before; they run in parallel."""

    name: str
    runs: tuple[PretrainingRun | EvaluationRun, ...]


def stages_of(plan: Plan) -> tuple[Stage, ...]:
    """Pretrainings, those that others start from first; then each evaluation: choice of settings, runs, variants."""
    stages = []
    for number, generation in enumerate(plan.generations, start=1):
        runs = tuple(
            PretrainingRun(pretraining, seed) for pretraining in generation for seed in plan.seeds[: pretraining.runs]
        )
        stages.append(Stage(PRETRAIN if number == 1 else f"{PRETRAIN}-{number}", runs))
    for evaluation in plan.evaluations:
        candidates = tuple(run for method in plan.methods for run in candidates_of(evaluation, method))
        if candidates:
            stages.append(Stage(f"{evaluation.name}-choice", candidates))
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


def candidates_of(evaluation: Evaluation, method: Method) -> tuple[EvaluationRun, ...]:
    """The runs by which the method's settings are chosen, by fraction; none where the evaluation has no selection."""
    selection = evaluation.selection
    if selection is None:
        return ()
    return tuple(
        EvaluationRun(evaluation, method, fraction, seed, candidate=setting)
        for fraction in evaluation.fractions
        for setting in selection.settings
        for seed in selection.seeds
    )


@dataclass(frozen=True)
class Commands:
    """The command of each run.

    Args:
        plan: what is run.
        cache: prepared frames.
        work_dir: for everything.
        device: "cpu", "cuda" or "auto".
        caches: further prepared frames, by the name that pretrainings give.
    """

    plan: Plan
    cache: Path
    work_dir: Path
    device: str
    caches: Mapping[str, Path] = field(default_factory=dict)

    def config(self, run: PretrainingRun | EvaluationRun) -> RunConfig:
        """The run's config with its overrides.

        Raises:
            UserError: it cannot be read.
        """
        if isinstance(run, PretrainingRun):
            return load_config(Path(run.pretraining.config), self._overrides(run))
        return load_config(Path(run.evaluation.config), self._overrides(run))

    def base_config(self, evaluation: Evaluation) -> RunConfig:
        """The config of an evaluation with the overrides that all methods share."""
        return load_config(Path(evaluation.config), evaluation.overrides)

    def folder(self, run: PretrainingRun | EvaluationRun) -> Path:
        if isinstance(run, PretrainingRun):
            return self.work_dir / PRETRAIN / run.pretraining.name / f"seed-{run.seed}"
        path = self.work_dir / run.evaluation.name / run.method.name / f"labels-{run.fraction:g}"
        if run.candidate is not None:
            return path / "choice" / run.candidate.name / f"seed-{run.seed}"
        path = path / f"seed-{run.seed}"
        return path if run.variant is None else path / f"on-{run.variant.name}"

    def product(self, run: PretrainingRun | EvaluationRun) -> Path:
        """The file of weights of a pretraining, the result of another run."""
        return self.folder(run) / (WEIGHTS if isinstance(run, PretrainingRun) else RESULT)

    def files(self, init: Mapping[str, Source], seed: int) -> dict[str, Path]:
        """Submodule -> file of weights."""
        return {part: self._file(source, seed) for part, source in init.items()}

    def _file(self, source: Source, seed: int) -> Path:
        if isinstance(source, Path):
            return source
        pretraining = source.of if isinstance(source, Permuted) else source
        return self.product(PretrainingRun(pretraining, self.plan.pretraining_seed(pretraining, seed)))

    def is_supervised(self, pretraining: Pretraining) -> bool:
        """Whether it is trained with labels.

        Raises:
            UserError: its config cannot be read.
        """
        return load_config(Path(pretraining.config), pretraining.overrides).kind == "task"

    def choice(self, run: EvaluationRun) -> Choice | None:
        """The choice of the setting for this method and fraction; None before all candidates have a score.

        Raises:
            UserError: a result is damaged.
        """
        selection = run.evaluation.selection
        if selection is None:
            return None
        scores: dict[str, tuple[float, ...]] = {}
        for one in candidates_of(run.evaluation, run.method):
            if one.fraction == run.fraction and one.candidate is not None:
                if not self.product(one).exists():
                    return None
                result = RunResult.read(self.product(one)).result
                scores[one.candidate.name] = (*scores.get(one.candidate.name, ()), result.score)
        return Choice(run.method.name, run.evaluation.name, run.fraction, selection.split, scores)

    def setting(self, run: EvaluationRun) -> Setting | None:
        """The candidate, or the chosen setting; None where the evaluation has no settings, or none is chosen yet."""
        choice = None if run.candidate is not None else self.choice(run)
        if choice is None or run.evaluation.selection is None:
            return run.candidate
        return next(one for one in run.evaluation.selection.settings if one.name == choice.setting)

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

    def is_ready(self, run: PretrainingRun | EvaluationRun) -> bool:
        """Whether the weights exist that the run starts from, and its setting is chosen."""
        chosen = isinstance(run, PretrainingRun) or run.evaluation.selection is None or self.setting(run) is not None
        return chosen and all(file.exists() for file in self.needs(run).values())

    def job(self, run: PretrainingRun | EvaluationRun) -> Job:
        """The run's command; it is ready.

        Raises:
            UserError: a file of weights, the config or the cache cannot be read, or no setting is chosen.
        """
        if isinstance(run, EvaluationRun) and run.evaluation.selection is not None and self.setting(run) is None:
            raise UserError(
                f"{self.folder(run)}: the setting of {run.evaluation.name!r} is not chosen; run its candidates first"
            )
        arguments = self._pretrain(run) if isinstance(run, PretrainingRun) else self._evaluate(run)
        overrides = [part for text in self._overrides(run) for part in ("--set", text)]
        cache = self._cache_of(run)
        command, config, *options = arguments
        folder = self.folder(run)
        return Job(
            [command, config, "--cache", cache, "--work-dir", folder, *options, *overrides, "--device", self.device],
            folder,
            self.product(run),
            key="".join([self.config(run).hash, self.checksum(cache), *map(sha256_of, self.needs(run).values())]),
        )

    def _overrides(self, run: PretrainingRun | EvaluationRun) -> tuple[str, ...]:
        if isinstance(run, PretrainingRun):
            if self.is_supervised(run.pretraining):
                return run.pretraining.overrides
            return (*run.pretraining.overrides, *self.plan.budget_overrides, f"train.seed={run.seed}")
        setting = self.setting(run)
        chosen = () if setting is None else setting.overrides
        overrides = (*run.evaluation.overrides, *run.method.overrides.get(run.evaluation.name, ()), *chosen)
        if run.variant is None:
            return overrides
        changes = [dict(transform) for transform in run.variant.transforms]
        return (*overrides, *([f"evaluation_transforms={changes!r}"] if changes else []), *run.variant.overrides)

    def _pretrain(self, run: PretrainingRun) -> list[str | Path]:
        split, config = run.pretraining.split or self.plan.train_split, Path(run.pretraining.config)
        init = self._init(run.pretraining.init, run.seed)
        if not self.is_supervised(run.pretraining):
            return ["pretrain", config, "--resume", *init, *([] if split is None else ["--split", split])]
        options = [] if split is None else ["--train-split", split]
        options += [] if self.plan.val_split is None else ["--val-split", self.plan.val_split]
        return ["finetune", config, "--labels", "1", "--seed", str(run.seed), *init, *options]

    def _evaluate(self, run: EvaluationRun) -> list[str | Path]:
        evaluation, config = run.evaluation, Path(run.evaluation.config)
        of_variant = None if run.variant is None else run.variant.split
        train_split, val_split = self.plan.train_split, of_variant or self.plan.val_split
        if run.variant is not None or evaluation.kind is Kind.ANNOTATION_FREE:
            options: list[str | Path] = ["--weights", self.needs(run)[WHOLE]]
            options += ["--annotation-free"] if evaluation.kind is Kind.ANNOTATION_FREE else []
            return ["evaluate", config, *options, *([] if val_split is None else ["--split", val_split])]
        if run.candidate is not None and evaluation.selection is not None:
            val_split = evaluation.selection.split
        options = ["--seed", str(run.seed), *self._init(run.method.init, run.seed)]
        options += ["--label-seed", str(run.seed)] if evaluation.draw_labels else []
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

    def _init(self, init: Mapping[str, Source], seed: int) -> list[str | Path]:
        """The options that name these weights."""
        options: list[str | Path] = []
        for part, source in init.items():
            file = self._file(source, seed)
            text = f"permuted:{file}" if isinstance(source, Permuted) else file
            options += ["--init", f"{part}={text}" if part else text]
        return options

    def _cache_of(self, run: PretrainingRun | EvaluationRun) -> Path:
        if isinstance(run, EvaluationRun):
            return self.cache if run.variant is None or run.variant.cache is None else run.variant.cache
        name = run.pretraining.cache
        if name and name not in self.caches:
            known = ", ".join(self.caches) or "none"
            raise UserError(f"pretraining {run.pretraining.name!r}: cache {name!r}, expected one of {known}")
        return self.caches[name] if name else self.cache

    def checksum(self, cache: Path) -> str:
        """SHA-256 of a cache's manifest."""
        return self._own_checksum if cache == self.cache else sha256_of(cache / MANIFEST)

    @cached_property
    def _own_checksum(self) -> str:
        return sha256_of(self.cache / MANIFEST)
