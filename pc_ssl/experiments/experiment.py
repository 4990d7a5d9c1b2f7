"""Run a plan on a cache, stage by stage, and collect its records.

A run that is finished with the same settings is not made again: an experiment that was stopped continues where it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pc_ssl.data.cache import Cache
from pc_ssl.engine.work_folder import work_folder
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.experiments.checks import check_budget, check_labels, check_networks
from pc_ssl.experiments.comparison import Comparison
from pc_ssl.experiments.jobs import COST, Stages, run_jobs
from pc_ssl.experiments.outcomes import RESULTS, Outcome, write_outcomes
from pc_ssl.experiments.plan import PRETRAIN, Method, Plan, chain_of
from pc_ssl.experiments.plan_stage import PlanStage
from pc_ssl.experiments.records import ALL, Record, records_of, write_records
from pc_ssl.experiments.runs import Commands, EvaluationRun, PretrainingRun, Stage, stages_of
from pc_ssl.experiments.selection import CHOICES, Choice, write_choices

SECONDS = "seconds.json"


@dataclass(frozen=True)
class Experiment:
    """A plan, with its cache, folder and device.

    Args:
        plan: what to run.
        cache: prepared frames.
        work_dir: for everything; see `runs.py`, and `records.py` for the results.
        jobs: commands that run in parallel, one core each.
        device: "cpu", "cuda" or "auto".
        part: of the plan, which alone is run and recorded; None: the whole plan.
        caches: further prepared frames, by the name that pretrainings give.
    """

    plan: Plan
    cache: Path
    work_dir: Path
    jobs: int = os.cpu_count() or 1
    device: str = "auto"
    part: PlanStage | None = None
    caches: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def commands(self) -> Commands:
        return Commands(self.plan, self.cache, self.work_dir, self.device, self.caches)

    @property
    def stages(self) -> list[Stage]:
        """The runs, in the order in which they are needed. Weights that were put into the folder of a pretraining are
        used as they are."""
        stages = [replace(stage, runs=tuple(filter(self._is_wanted, stage.runs))) for stage in stages_of(self.plan)]
        return [stage for stage in stages if stage.runs]

    def _is_wanted(self, run: PretrainingRun | EvaluationRun) -> bool:
        if self.part is not None and not self.part.holds(self.plan, run):
            return False
        given = self.commands.product(run).exists() and not (self.commands.folder(run) / COST).exists()
        return not (isinstance(run, PretrainingRun) and given)

    def run(self, times: Stages | None = None) -> Comparison:
        """Check the plan, run what is not finished, and write the records, results and choices of settings.

        Args:
            times: where the seconds of each stage are kept; None: in seconds.json of `work_dir`.

        Raises:
            UserError: networks, budgets or labels do not fit together, a command failed, or another process runs in
                the work folder.
        """
        budget = self._check()
        times = times or Stages(self.work_dir / SECONDS)
        with work_folder(self.work_dir, "compare"):
            for stage in self.stages:
                with times.stage(stage.name):
                    applicable = [run for run in stage.runs if self.commands.applies(run)]
                    run_jobs([self.commands.job(run) for run in applicable], self.jobs)
            self.write(self.work_dir)
        return Comparison(self.plan, self.records(), budget, self.outcomes())

    def records(self) -> list[Record]:
        """Records of the finished runs, in the plan's order; unfinished runs are left out.

        Raises:
            UserError: a result is damaged.
        """
        methods = self.plan.methods if self.part is None else self.part.methods_of(self.plan)
        costs = [record for method in methods for record in self._costs(method)]
        return [*costs, *(record for outcome in self.outcomes() for record in records_of(outcome))]

    def outcomes(self) -> list[Outcome]:
        """Outcomes of the finished evaluations, in the plan's order, without those by which settings are chosen.

        Raises:
            UserError: a result is damaged.
        """
        return [
            self._outcome(run)
            for stage in self.stages
            for run in stage.runs
            if isinstance(run, EvaluationRun) and run.candidate is None and self.commands.product(run).exists()
        ]

    def choices(self) -> list[Choice]:
        """The settings that are chosen, in the plan's order.

        Raises:
            UserError: a result is damaged.
        """
        runs = (
            EvaluationRun(evaluation, method, fraction, self.plan.seeds[0])
            for evaluation in self.plan.evaluations
            for method in self.plan.methods
            for fraction in evaluation.fractions
        )
        return [choice for run in runs if self._is_wanted(run) and (choice := self.commands.choice(run)) is not None]

    def write(self, folder: Path) -> None:
        """Write records.jsonl, records.csv and results.jsonl, and choices.jsonl where settings are chosen.

        Raises:
            UserError: the folder cannot be written, or a result is damaged.
        """
        write_records(folder, self.records())
        write_outcomes(folder / RESULTS, self.outcomes())
        choices = self.choices()
        if choices:
            write_choices(folder / CHOICES, choices)

    def describe(self) -> str:
        """Summary of what `run` would do.

        Raises:
            UserError: as `run`.
        """
        budget, plan = self._check(), self.plan
        lines = [
            f"methods          {', '.join(method.name for method in plan.methods)}",
            f"seeds            {', '.join(map(str, plan.seeds))}",
            f"budget           {', '.join(f'{name} {value}' for name, value in budget.items()) or 'differs'}",
        ]
        total = left = 0
        for stage in self.stages:
            finished = sum(self._is_finished(run) for run in stage.runs)
            lines.append(f"{stage.name:16} {_count(stage)}, {finished} finished")
            total, left = total + len(stage.runs), left + len(stage.runs) - finished
        return "\n".join([*lines, f"runs             {total}, {left} left, {self.jobs} at once, in {self.work_dir}"])

    def _check(self) -> dict[str, object]:
        check_networks(self.plan, self.commands)
        budget = check_budget(self.plan, self.commands)
        check_labels(self.plan, self.commands, Cache(self.cache))
        return budget

    def _is_finished(self, run: PretrainingRun | EvaluationRun) -> bool:
        commands = self.commands
        return commands.is_ready(run) and commands.applies(run) and commands.job(run).cost() is not None

    def _outcome(self, run: EvaluationRun) -> Outcome:
        measured, setting = RunResult.read(self.commands.product(run)), self.commands.setting(run)
        return Outcome(
            method=run.method.name,
            evaluation=run.evaluation.name,
            variant="" if run.variant is None else run.variant.name,
            seed=run.seed,
            fraction=run.fraction,
            setting="" if setting is None else setting.name,
            config=self.commands.config(run).hash,
            seconds=round(sum(measured.seconds.values()), 1),
            result=measured.result,
        )

    def _costs(self, method: Method) -> list[Record]:
        """Seconds and memory of the pretrainings that the method starts from; none where one is not finished."""
        records = []
        for seed in self.plan.seeds:
            runs = [
                PretrainingRun(pretraining, seed)
                for pretraining in chain_of(method.init)
                if pretraining.runs is None or seed in self.plan.seeds[: pretraining.runs]
            ]
            costs = [self.commands.job(run).cost() for run in runs if self._is_finished(run)]
            known = [cost for cost in costs if cost is not None]
            if not known or len(known) < len(chain_of(method.init)):
                continue
            values = {
                "seconds": sum(cost.seconds for cost in known),
                "peak_memory_mib": max(cost.peak_memory_mib for cost in known),
            }
            records += [
                Record(method.name, PRETRAIN, "", seed, 1.0, metric, ALL, value) for metric, value in values.items()
            ]
        return records


def _count(stage: Stage) -> str:
    names: Sequence[str] = list(
        dict.fromkeys(
            run.pretraining.name if isinstance(run, PretrainingRun) else run.method.name for run in stage.runs
        )
    )
    return f"{len(stage.runs)} runs of {', '.join(names)}"
