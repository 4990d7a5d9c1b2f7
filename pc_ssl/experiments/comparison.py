"""Methods compared: mean and deviation over seeds, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pc_ssl.experiments.outcomes import Outcome
from pc_ssl.experiments.plan import PRETRAIN, Evaluation, Kind, Method, Plan
from pc_ssl.experiments.records import ALL, SCORES, Record, values_of

DEFAULT_TITLES = {Kind.PROBE: "linear probe", Kind.FINETUNE: "fine-tuning", Kind.ANNOTATION_FREE: "annotation-free"}


@dataclass(frozen=True)
class Spread:
    """One number of several runs, one for each seed."""

    runs: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.mean(self.runs)

    @property
    def std(self) -> float | None:
        """Sample standard deviation; None for one run."""
        return statistics.stdev(self.runs) if len(self.runs) > 1 else None

    def text(self, factor: float, digits: int) -> str:
        """`12.3 +- 0.4`."""
        deviation = "" if self.std is None else f" +- {factor * self.std:.{digits}f}"
        return f"{factor * self.mean:.{digits}f}{deviation}"


@dataclass(frozen=True)
class Column:
    """What is compared: one metric of one evaluation."""

    evaluation: Evaluation
    variant: str
    fraction: float
    metric: str

    @property
    def title(self) -> str:
        """Of the evaluation and the variant."""
        title = self.evaluation.title or DEFAULT_TITLES[self.evaluation.kind]
        return f"{title} on {self.variant}" if self.variant else title


@dataclass(frozen=True)
class Table:
    """header: cells of the first line; rows: the others; the first column holds names."""

    header: list[str]
    rows: list[list[str]]

    def text(self) -> str:
        """Aligned columns, for a terminal."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.header))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if k else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )

    def markdown(self) -> str:
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True)
class Comparison:
    """The scores of whole splits, over seeds.

    Args:
        plan: names and orders what is compared.
        records: of its runs.
        budget: what all pretrainings share: steps, batch size.
        outcomes: of its runs, with the counts of each scene; differences have no intervals without them.
    """

    plan: Plan
    records: Sequence[Record]
    budget: Mapping[str, Any]
    outcomes: Sequence[Outcome] = ()

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Metrics and evaluations with records of any method, in the plan's order."""
        return tuple(
            column
            for evaluation in self.plan.evaluations
            for variant in ("", *(variant.name for variant in evaluation.variants))
            for fraction in evaluation.fractions
            for metric in SCORES
            if any(
                self.spread(method, column := Column(evaluation, variant, fraction, metric))
                for method in self.plan.methods
            )
        )

    def spread(self, method: Method, column: Column) -> Spread | None:
        """None without records."""
        values = values_of(
            self.records, method=method.name, evaluation=column.evaluation.name, variant=column.variant,
            fraction=column.fraction, metric=column.metric, scene=ALL,
        )  # fmt: skip
        return Spread(values) if values else None

    def cost(self, method: Method, metric: str) -> Spread | None:
        """ "seconds" or "peak_memory_mib" of the method's pretrainings; None: it has none."""
        values = values_of(self.records, method=method.name, evaluation=PRETRAIN, metric=metric)
        return Spread(values) if values else None

    def by_method(self) -> Table:
        """One row for each method; the last columns hold what its pretraining cost."""
        rows = [
            [
                method.label,
                *(_cell(self.spread(method, column), 100, 1) for column in self.columns),
                _cell(self.cost(method, "seconds"), 1, 0),
                _cell(self.cost(method, "peak_memory_mib"), 1, 0),
            ]
            for method in self.plan.methods
        ]
        labels = [self.label(column) for column in self.columns]
        return Table([self._unit, *labels, "pretraining s", "peak MiB"], rows)

    def label(self, column: Column) -> str:
        """The head of a column: short where the evaluation has neither a title nor several metrics."""
        fine_tuned = column.evaluation.kind is Kind.FINETUNE
        parts = [column.title] if column.evaluation.title or not fine_tuned or column.variant else []
        parts += [percent(column.fraction)] if fine_tuned else []
        parts += [] if self._one_metric else [SCORES[column.metric]]
        return ", ".join(parts)

    @property
    def about(self) -> str:
        """How the numbers came about, in one sentence."""
        budget = ", ".join(f"{name} {value}" for name, value in self.budget.items())
        seeds = f"Mean and standard deviation over {len(self.plan.seeds)} seeds"
        return f"{seeds}; {budget}." if budget else f"{seeds}."

    @property
    def _one_metric(self) -> bool:
        return len({column.metric for column in self.columns}) == 1

    @property
    def _unit(self) -> str:
        return f"{SCORES[self.columns[0].metric]} %" if self._one_metric else "%"


def percent(share: float) -> str:
    """0.05 -> "5 %"."""
    return f"{100 * share:g} %"


def _cell(spread: Spread | None, factor: float, digits: int) -> str:
    return "-" if spread is None else spread.text(factor, digits)
