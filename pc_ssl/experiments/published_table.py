"""Tables of papers as plans: which runs make them, and which scores were published.

    # configs/tables/mine.py
    table = PublishedTable(
        title="Detection with few labels",
        source="a paper, Table 1",
        differences=("the head is another one",),
        parts=(Part("lidar", PREPARATION, plan, (PublishedScore("prc", "det-5", "nds", 46.0),)),),
    )

A table names configs, fractions and scores. `reproduction.py` runs it on a copy of the data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pc_ssl.errors import UserError
from pc_ssl.experiments.plan import Evaluation, Plan, Pretraining
from pc_ssl.experiments.plan_file import load_definition
from pc_ssl.experiments.records import SCORES
from pc_ssl.recipes import TABLES


@dataclass(frozen=True)
class Preparation:
    """The cache of a data set: `pc-ssl prepare DATA_SET OPTIONS`.

    Args:
        name: of its folder; parts with the same preparation share it.
        data_set: as `pc-ssl prepare` names it.
        options: without the root, the output folder and the number of workers.
    """

    name: str
    data_set: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedScore:
    """One number of a paper.

    Args:
        method: row, a method of the plan.
        evaluation: of the plan; it has one fraction.
        metric: "miou", "nds", "map", "map@0.25" or "map@0.5".
        value: in percent, as papers print it.
        against: method that the value is a difference to; None: the value is a score.
    """

    method: str
    evaluation: str
    metric: str
    value: float
    against: str | None = None


@dataclass(frozen=True)
class Part:
    """Rows of a table that share a cache and a downstream network.

    Raises:
        UserError: an evaluation has several fractions, or a score names what the plan does not hold.
    """

    name: str
    preparation: Preparation
    plan: Plan
    scores: tuple[PublishedScore, ...]

    def __post_init__(self) -> None:
        methods = [method.name for method in self.plan.methods]
        evaluations = {evaluation.name: evaluation for evaluation in self.plan.evaluations}
        for evaluation in self.plan.evaluations:
            if len(evaluation.fractions) != 1:
                raise UserError(
                    f"part {self.name!r}: evaluation {evaluation.name!r} has several fractions, expected one"
                )
        for score in self.scores:
            for method in (score.method, score.against):
                if method is not None and method not in methods:
                    raise UserError(f"part {self.name!r}: a score of {method!r}, expected one of {', '.join(methods)}")
            if score.evaluation not in evaluations or score.metric not in SCORES:
                raise UserError(
                    f"part {self.name!r}: a score of {score.evaluation!r}, {score.metric!r}, expected evaluations "
                    f"{', '.join(evaluations)} and metrics {', '.join(SCORES)}"
                )

    def published(self, method: str, evaluation: Evaluation, metric: str) -> float | None:
        """The published score in percent; None: not published, or not found."""
        for score in self.scores:
            if (score.method, score.evaluation, score.metric, score.against) == (method, evaluation.name, metric, None):
                return score.value
        return None


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper.

    Args:
        title: what it compares.
        source: paper and table, and where its numbers were read.
        differences: how the configs depart from the paper's setting.
        parts: its rows. Pretrainings of one name are shared between them.

    Raises:
        UserError: two parts hold evaluations of one name, or different pretrainings of one name.
    """

    title: str
    source: str
    differences: tuple[str, ...]
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        evaluations: set[str] = set()
        pretrainings: dict[str, Pretraining] = {}
        for part in self.parts:
            for evaluation in part.plan.evaluations:
                if evaluation.name in evaluations:
                    raise UserError(f"part {part.name!r}: evaluation {evaluation.name!r} is of an earlier part too")
                evaluations.add(evaluation.name)
            for pretraining in part.plan.pretrainings:
                if pretrainings.setdefault(pretraining.name, pretraining) != pretraining:
                    raise UserError(
                        f"part {part.name!r}: pretraining {pretraining.name!r} differs from an earlier part's"
                    )


def load_table(name: Path | str) -> PublishedTable:
    """The table that a file defines; it is executed.

    Args:
        name: a path that ends in .py, or the name of one of the package's tables.

    Raises:
        UserError: the file or name does not exist, it cannot be executed, or it does not define a `table`.
    """
    return load_definition(Path(name), "table", PublishedTable, TABLES)
