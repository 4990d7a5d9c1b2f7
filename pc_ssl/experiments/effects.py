"""What each start gains over the first one: paired differences with intervals, and shares of the possible gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pc_ssl.evaluation.run_result import Result
from pc_ssl.experiments.bootstrap import Difference, paired_difference
from pc_ssl.experiments.comparison import Column, Comparison, Spread, Table, percent
from pc_ssl.experiments.outcomes import Outcome, outcomes_of
from pc_ssl.experiments.plan import Method, Plan, Role
from pc_ssl.experiments.records import ALL, SCORES, measures

NOT_SHOWN = "not shown"  # in place of the verdict where the interval holds zero
CONTROLS = (Role.POSITIVE_CONTROL, Role.NEGATIVE_CONTROL)


@runtime_checkable
class ScenesResult(Protocol):
    """A result that can be scored on resamples of its scenes."""

    @property
    def scene_names(self) -> tuple[str, ...]: ...

    def resampled(self, times: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]: ...


@dataclass(frozen=True)
class Effect:
    """A start in one column.

    Args:
        method: of the plan.
        spread: of its scores, in [0, 1].
        difference: paired, to the first method of the plan, in [0, 1]; None: it is that method, or less than two seeds
            or no scene are shared.
        share: of the room, (method - first) / (positive control - first); None: no positive control is shown to exceed
            the first method.
        setting: that was chosen for it; "": the evaluation has none.
    """

    method: Method
    spread: Spread
    difference: Difference | None
    share: float | None
    setting: str

    @property
    def verdict(self) -> str:
        """ "above", "below" or "not shown"; "" without a difference."""
        if self.difference is None:
            return ""
        if not self.difference.interval.excludes_zero:
            return NOT_SHOWN
        return "above" if self.difference.interval.low > 0 else "below"


@dataclass(frozen=True)
class Effects:
    """The starts of a plan compared in one column, over the same seeds and test scenes.

    Args:
        plan: its first method is what the others are compared with.
        outcomes: of any of its runs.
        column: what is compared.
    """

    plan: Plan
    outcomes: Sequence[Outcome]
    column: Column

    @cached_property
    def rows(self) -> tuple[Effect, ...]:
        """Methods with outcomes, in the plan's order."""
        return tuple(self._effect(method) for method in self.plan.methods if self._runs(method))

    @property
    def missing_controls(self) -> tuple[Role, ...]:
        """The kinds of controls without an outcome in this column."""
        found = {effect.method.role for effect in self.rows}
        return tuple(role for role in CONTROLS if role not in found)

    @property
    def title(self) -> str:
        """Of the evaluation, with its share of labels and the metric."""
        return f"{self.column.title}, {percent(self.column.fraction)} of the labels, {SCORES[self.column.metric]}"

    @property
    def note(self) -> str:
        """What a reader must know of the controls; "" if there are both."""
        if not self.missing_controls:
            return ""
        missing = " or ".join(role.value for role in self.missing_controls)
        return (
            f"Without a {missing}: a difference may have another cause than the method, or be hidden by the benchmark."
        )

    def table(self) -> Table:
        """One row for each start, in percent.

        Returns:
            The table; where the plan requires controls and one is missing, a table that names it, without scores.
        """
        if self.plan.requires_controls and self.missing_controls:
            names = ", ".join(role.value for role in self.missing_controls)
            return Table(["no result"], [[f"missing: {names}"]])
        first = self.plan.methods[0].label
        header = [f"{SCORES[self.column.metric]} %", "mean", f"minus {first}", "95 % interval", "", "share of room"]
        rows = [_cells(effect) for effect in self.rows]
        if any(effect.setting for effect in self.rows):
            return Table([*header, "setting"], rows)
        return Table(header, [row[:-1] for row in rows])

    @cached_property
    def _room(self) -> float | None:
        """What the positive control gains over the first method; None: it is not shown to gain anything."""
        for method in self.plan.methods:
            difference = self._difference(method) if method.role is Role.POSITIVE_CONTROL else None
            if difference is not None and difference.interval.low > 0:
                return difference.value
        return None

    def _effect(self, method: Method) -> Effect:
        runs, difference = self._runs(method), self._difference(method)
        spread = Spread(tuple(self._score(run.result) for run in runs.values()))
        share = None if difference is None or self._room is None else difference.value / self._room
        return Effect(method, spread, difference, share, ", ".join(dict.fromkeys(run.setting for run in runs.values())))

    def _runs(self, method: Method) -> Mapping[int, Outcome]:
        column = self.column
        runs = outcomes_of(self.outcomes, method.name, column.evaluation.name, column.variant, column.fraction)
        return {seed: run for seed, run in runs.items() if (column.metric, ALL) in measures(run.result)}

    def _score(self, result: Result) -> float:
        return measures(result)[self.column.metric, ALL]

    def _difference(self, method: Method) -> Difference | None:
        """None for the first method, and where less than two seeds or no scenes are shared."""
        own, first = self._runs(method), self._runs(self.plan.methods[0])
        seeds = [seed for seed in self.plan.seeds if seed in own and seed in first]
        if method == self.plan.methods[0] or len(seeds) < 2:
            return None
        found = [runs[seed].result for runs in (own, first) for seed in seeds]
        results = [result for result in found if isinstance(result, ScenesResult)]
        names = {result.scene_names for result in results}
        if len(results) < len(found) or len(names) != 1 or names == {()}:
            return None
        scores = [partial(_resampled, result, self.column.metric) for result in results]
        return paired_difference(scores[: len(seeds)], scores[len(seeds) :], len(names.pop()))


@dataclass(frozen=True)
class Section:
    """A table with its title and a note; "" where there is none."""

    title: str
    table: Table
    note: str = ""

    def text(self) -> str:
        """For a terminal."""
        return "\n".join(part for part in (self.title, self.table.text(), self.note) if part)

    def markdown(self) -> str:
        parts = (f"### {self.title}" if self.title else "", self.table.markdown(), self.note)
        return "\n\n".join(part for part in parts if part)


def sections_of(comparison: Comparison) -> list[Section]:
    """What a comparison shows: all scores, unless the plan requires controls; then each column's differences."""
    plan = comparison.plan
    overview = [] if plan.requires_controls else [Section("", comparison.by_method(), comparison.about)]
    effects = [Effects(plan, comparison.outcomes, column) for column in comparison.columns]
    shown = [one for one in effects if plan.requires_controls or any(row.difference for row in one.rows)]
    return [*overview, *(Section(one.title, one.table(), one.note) for one in shown)]


def _resampled(result: ScenesResult, metric: str, times: NDArray[np.int64]) -> NDArray[np.float64]:
    return result.resampled(times)[metric]


def _cells(effect: Effect) -> list[str]:
    mean, difference = effect.spread.text(100, 1), effect.difference
    if difference is None:
        return [effect.method.label, mean, "", "", "", "", effect.setting]
    low, high = difference.interval.low, difference.interval.high
    share = "" if effect.share is None else f"{effect.share:.2f}"
    gain, interval = f"{100 * difference.value:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"
    return [effect.method.label, mean, gain, interval, effect.verdict, share, effect.setting]
