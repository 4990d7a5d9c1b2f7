"""Run a plan on a cache, stage by stage, and collect its records.

A run that is finished with the same settings is not made again: an experiment that was stopped continues where it was.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pc_ssl.data.cache import Cache
from pc_ssl.engine.work_folder import work_folder
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.experiments.checks import check_budget, check_labels, check_networks
from pc_ssl.experiments.comparison import Comparison
from pc_ssl.experiments.jobs import Stages, run_jobs
from pc_ssl.experiments.plan import PRETRAIN, Method, Plan, chain_of
from pc_ssl.experiments.records import ALL, Record, measures, write_records
from pc_ssl.experiments.runs import Commands, EvaluationRun, PretrainingRun, Stage, stages_of

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
    """

    plan: Plan
    cache: Path
    work_dir: Path
    jobs: int = os.cpu_count() or 1
    device: str = "auto"

    @cached_property
    def commands(self) -> Commands:
        return Commands(self.plan, self.cache, self.work_dir, self.device)

    def run(self, times: Stages | None = None) -> Comparison:
        """Check the plan, run what is not finished, and write records.jsonl and records.csv.

        Args:
            times: where the seconds of each stage are kept; None: in seconds.json of `work_dir`.

        Raises:
            UserError: networks, budgets or labels do not fit together, a command failed, or another process runs in
                the work folder.
        """
        budget = self._check()
        times = times or Stages(self.work_dir / SECONDS)
        with work_folder(self.work_dir, "compare"):
            for stage in stages_of(self.plan):
                with times.stage(stage.name):
                    applicable = [run for run in stage.runs if self.commands.applies(run)]
                    run_jobs([self.commands.job(run) for run in applicable], self.jobs)
            records = self.records()
            write_records(self.work_dir, records)
        return Comparison(self.plan, records, budget)

    def records(self) -> list[Record]:
        """Records of the finished runs, in the plan's order; unfinished runs are left out.

        Raises:
            UserError: a result is damaged.
        """
        found = [record for method in self.plan.methods for record in self._costs(method)]
        for stage in stages_of(self.plan):
            for run in stage.runs:
                if isinstance(run, EvaluationRun) and self.commands.product(run).exists():
                    found += self._measured(run)
        return found

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
        for stage in stages_of(plan):
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
        needed = self.commands.needs(run).values()
        if not all(file.exists() for file in needed):
            return False
        return self.commands.applies(run) and self.commands.job(run).cost() is not None

    def _measured(self, run: EvaluationRun) -> list[Record]:
        result = RunResult.read(self.commands.product(run)).result
        variant = "" if run.variant is None else run.variant.name
        return [
            Record(run.method.name, run.evaluation.name, variant, run.seed, run.fraction, metric, scene, value)
            for (metric, scene), value in measures(result).items()
        ]

    def _costs(self, method: Method) -> list[Record]:
        """Seconds and memory of the pretrainings that the method starts from; none where one is not finished."""
        records = []
        for seed in self.plan.seeds:
            runs = [PretrainingRun(pretraining, seed) for pretraining in chain_of(method.init)]
            costs = [self.commands.job(run).cost() for run in runs if self._is_finished(run)]
            known = [cost for cost in costs if cost is not None]
            if not known or len(known) < len(runs):
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
