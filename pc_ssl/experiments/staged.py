"""Long plans in stages: what a stage measured is committed, and no machine runs it again.

    results/STAGE/stage.json       command, commit, seeds, machine, times, hashes of the configs
                  records.jsonl    every number; results.jsonl: with the counts of each scene; choices.jsonl: settings
            weights/NAME-seed-K.safetensors    backbones of pretrainings that later stages start from, float16

Stages run in their order. A stage with a `stage.json` is finished; another machine goes on from there, with the stored
weights. Within a stage the runs that finished are kept in the work folder, as by every experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pc_ssl.engine.weights import BACKBONE, read_tensors, write_tensors
from pc_ssl.experiments.experiment import Experiment
from pc_ssl.experiments.outcomes import RESULTS, Outcome, read_outcomes
from pc_ssl.experiments.plan import Pretraining
from pc_ssl.experiments.plan_stage import PlanStage, check_stages
from pc_ssl.experiments.provenance import machine, now
from pc_ssl.experiments.records import JSON_LINES, Record, read_records
from pc_ssl.experiments.runs import EvaluationRun, PretrainingRun
from pc_ssl.experiments.selection import CHOICES, Choice, read_choices
from pc_ssl.files import read_json, write_json

STAGE, WEIGHTS = "stage.json", "weights"


@dataclass(frozen=True)
class StagedExperiment:
    """A plan in stages.

    Args:
        experiment: the whole plan, with its cache and work folder.
        stages: of the plan, in their order.
        results: folder of what is committed.

    Raises:
        UserError: an evaluation is in two stages, or a stage names what the plan does not hold.
    """

    experiment: Experiment
    stages: tuple[PlanStage, ...]
    results: Path

    def __post_init__(self) -> None:
        check_stages(self.experiment.plan, self.stages)

    @property
    def left(self) -> tuple[PlanStage, ...]:
        """The stages without committed records."""
        return tuple(stage for stage in self.stages if not (self.results / stage.name / STAGE).exists())

    def run(self, stage: PlanStage, command: str, commit: str | None) -> None:
        """Run what is left of a stage, and write its records and the weights that later stages start from.

        Args:
            stage: of `stages`.
            command: by which the stage was started, for its file.
            commit: of the source tree.

        Raises:
            UserError: a command failed, or the plan does not fit the cache.
        """
        self._restore()
        part, started = self.part(stage), now()
        part.run()
        folder = self.results / stage.name
        part.write(folder)
        self._store(stage)
        write_json(folder / STAGE, {**self._facts(stage, part), "command": command, "commit": commit,
                                    "started": started, "finished": now()})  # fmt: skip

    def part(self, stage: PlanStage) -> Experiment:
        """The experiment of one stage, in the work folder of all."""
        return replace(self.experiment, part=stage)

    def caches(self, stage: PlanStage) -> frozenset[str]:
        """Names of the caches that the stage's pretrainings name."""
        return frozenset(pretraining.cache for pretraining in self._needed(stage) if pretraining.cache)

    def describe(self) -> str:
        """One line for each stage: whether it is finished, and how long it takes on two cores."""
        lines = []
        for stage in self.stages:
            path = self.results / stage.name / STAGE
            if path.exists():
                state = f"finished {read_json(path)['finished']}{self._changes(stage)}"
            else:
                runs = [run for of in self.part(stage).stages for run in of.runs]
                state = f"{len(runs)} runs, about {stage.minutes} minutes"
            lines.append(f"{stage.name:24} {state:60} {stage.about}")
        hours = sum(stage.minutes for stage in self.left) / 60
        return "\n".join([*lines, f"{len(self.left)} of {len(self.stages)} stages left, about {hours:.1f} hours"])

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """Outcomes of the finished stages.

        Raises:
            UserError: a file is damaged.
        """
        return [one for folder in self.finished for one in read_outcomes(folder / RESULTS)]

    @cached_property
    def records(self) -> list[Record]:
        """Records of the finished stages.

        Raises:
            UserError: a file is damaged.
        """
        return [one for folder in self.finished for one in read_records(folder / JSON_LINES)]

    @cached_property
    def choices(self) -> list[Choice]:
        """Chosen settings of the finished stages.

        Raises:
            UserError: a file is damaged.
        """
        return [one for f in self.finished if (f / CHOICES).exists() for one in read_choices(f / CHOICES)]

    @property
    def finished(self) -> list[Path]:
        """Folders of the finished stages, in their order."""
        left = self.left
        return [self.results / stage.name for stage in self.stages if stage not in left]

    def _changes(self, stage: PlanStage) -> str:
        """Names of the configs that changed since a finished stage was run."""
        before = read_json(self.results / stage.name / STAGE).get("configs", {})
        changed = [name for name, value in self._configs(self.part(stage)).items() if before.get(name) != value]
        return f", since then other: {', '.join(changed)}" if changed else ""

    def _facts(self, stage: PlanStage, part: Experiment) -> dict[str, Any]:
        jobs = [cost for of in part.stages for run in of.runs if (cost := part.commands.job(run).cost()) is not None]
        return {
            "stage": stage.name,
            "about": stage.about,
            "seeds": list(part.plan.seeds),
            "machine": machine(),
            "jobs": part.jobs,
            "core_minutes": round(sum(cost.seconds for cost in jobs) / 60, 1),
            "cache": part.commands.checksum(part.cache),
            "configs": self._configs(part),
        }

    def _configs(self, part: Experiment) -> dict[str, str]:
        """Hash of each config of a stage, with the plan's overrides and without chosen settings and seeds."""
        hashes = {}
        for stage in part.stages:
            for run in stage.runs:
                if isinstance(run, PretrainingRun) and run.seed == part.plan.seeds[0]:
                    hashes[run.pretraining.name] = part.commands.config(run).hash
                elif isinstance(run, EvaluationRun) and run.candidate is None:
                    evaluation = run.evaluation
                    hashes[evaluation.name] = part.commands.base_config(evaluation).hash
        return hashes

    def _store(self, stage: PlanStage) -> None:
        """Keep the backbones of this stage's pretrainings that later stages start from."""
        later = {one.name for other in self.stages_after(stage) for one in self._needed(other)}
        for pretraining in self._needed(stage):
            for seed in self._seeds(pretraining) if pretraining.name in later else ():
                if not self._stored(pretraining, seed).exists():
                    tensors, metadata = read_tensors(self._product(pretraining, seed))
                    backbone = {name: value for name, value in tensors.items() if name.startswith(BACKBONE)}
                    write_tensors(self._stored(pretraining, seed), _cast(backbone, torch.float16), metadata)

    def _restore(self) -> None:
        """Put stored weights where the runs look for them, unless they were made in this work folder."""
        for pretraining in self.experiment.plan.pretrainings:
            for seed in self._seeds(pretraining):
                stored, product = self._stored(pretraining, seed), self._product(pretraining, seed)
                if stored.exists() and not product.exists():
                    tensors, metadata = read_tensors(stored)
                    write_tensors(product, _cast(tensors, torch.float32), metadata)

    def _seeds(self, pretraining: Pretraining) -> tuple[int, ...]:
        return self.experiment.plan.seeds[: pretraining.runs]

    def stages_after(self, stage: PlanStage) -> Sequence[PlanStage]:
        return self.stages[self.stages.index(stage) + 1 :]

    def _needed(self, stage: PlanStage) -> list[Pretraining]:
        return [one for one in self.experiment.plan.pretrainings if stage.holds_pretraining(self.experiment.plan, one)]

    def _product(self, pretraining: Pretraining, seed: int) -> Path:
        return self.experiment.commands.product(PretrainingRun(pretraining, seed))

    def _stored(self, pretraining: Pretraining, seed: int) -> Path:
        return self.results / WEIGHTS / f"{pretraining.name}-seed-{seed}.safetensors"


def _cast(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Floating-point tensors in another precision, others as they are."""
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
