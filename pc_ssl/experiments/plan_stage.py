"""Stages of a long plan: which of its runs belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pc_ssl.errors import UserError
from pc_ssl.experiments.plan import Method, Plan, Pretraining, chain_of
from pc_ssl.experiments.runs import EvaluationRun, PretrainingRun, stages_of


@dataclass(frozen=True)
class PlanStage:
    """Evaluations of some methods, and the pretrainings that these start from.

    Args:
        name: of its folder.
        about: one sentence for users.
        minutes: that it takes on two quiet cores.
        methods: names of the plan's methods.
        evaluations: names of the plan's evaluations; none: only the pretrainings.
        fractions: labelled shares; none: all of the evaluations.
    """

    name: str
    about: str
    minutes: int
    methods: tuple[str, ...]
    evaluations: tuple[str, ...] = ()
    fractions: tuple[float, ...] = ()

    def holds(self, plan: Plan, run: PretrainingRun | EvaluationRun) -> bool:
        """Whether the run is part of this stage."""
        if isinstance(run, PretrainingRun):
            return self.holds_pretraining(plan, run.pretraining)
        return (
            run.method.name in self.methods
            and run.evaluation.name in self.evaluations
            and (not self.fractions or run.fraction in self.fractions)
        )

    def holds_pretraining(self, plan: Plan, pretraining: Pretraining) -> bool:
        """Whether one of the stage's methods starts from this pretraining."""
        return any(pretraining in chain_of(method.init) for method in self.methods_of(plan))

    def methods_of(self, plan: Plan) -> tuple[Method, ...]:
        return tuple(method for method in plan.methods if method.name in self.methods)


def check_stages(plan: Plan, stages: Sequence[PlanStage]) -> None:
    """Check that no evaluation of the plan is in two stages. What is in none is not run.

    Raises:
        UserError: one is in several, or a stage names what the plan does not hold.
    """
    names = Counter(stage.name for stage in stages)
    if names and names.most_common(1)[0][1] > 1:
        raise UserError(f"stages: {names.most_common(1)[0][0]!r} appears twice; names must be distinct")
    known = {
        "methods": {method.name for method in plan.methods},
        "evaluations": {evaluation.name for evaluation in plan.evaluations},
    }
    for stage in stages:
        for what, found in (("methods", stage.methods), ("evaluations", stage.evaluations)):
            unknown = sorted(set(found) - known[what])
            if unknown:
                raise UserError(
                    f"stage {stage.name!r}: {what} {unknown[0]!r}, expected some of {', '.join(sorted(known[what]))}"
                )
    for of in stages_of(plan):
        for run in of.runs:
            if isinstance(run, EvaluationRun):
                holding = [stage.name for stage in stages if stage.holds(plan, run)]
                if len(holding) > 1:
                    raise UserError(
                        f"stages: {run.evaluation.name} of {run.method.name} at {run.fraction:g} is in "
                        f"{' and '.join(holding)}, expected one"
                    )
