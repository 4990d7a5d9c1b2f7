"""Outcomes of the evaluations of a plan, with the counts of every scene: all statistics are recomputed from them.

`results.jsonl` holds one line for each run, with its result as the run's own result.json has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import MEASURED, Result
from pc_ssl.experiments.json_lines import read_lines, write_lines

RESULTS = "results.jsonl"
FIELDS = ("method", "evaluation", "variant", "seed", "fraction", "setting", "config", "seconds")


@dataclass(frozen=True)
class Outcome:
    """What one run measured.

    Args:
        method, evaluation, variant: of the plan; variant "" is the validation split.
        seed: of the run.
        fraction: labelled share.
        setting: the chosen one; "": the evaluation has none.
        config: hash of the run's config with its overrides.
        seconds: wall-clock time of training and evaluation.
        result: with counts of each scene.
    """

    method: str
    evaluation: str
    variant: str
    seed: int
    fraction: float
    setting: str
    config: str
    seconds: float
    result: Result


def outcomes_of(
    outcomes: Sequence[Outcome], method: str, evaluation: str, variant: str, fraction: float
) -> dict[int, Outcome]:
    """The outcomes of a method by seed, in ascending order."""
    wanted = (method, evaluation, variant, fraction)
    found = [one for one in outcomes if (one.method, one.evaluation, one.variant, one.fraction) == wanted]
    return {one.seed: one for one in sorted(found, key=lambda one: one.seed)}


def write_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write the file, atomically.

    Raises:
        UserError: it cannot be written.
    """
    write_lines(path, map(_as_dict, outcomes))


def read_outcomes(path: Path) -> list[Outcome]:
    """The outcomes that `write_outcomes` wrote.

    Raises:
        UserError: the file cannot be read, or a line is not an outcome.
    """
    return [_outcome(path, number, line) for number, line in read_lines(path)]


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    measured = next(name for name, kind in MEASURED.items() if isinstance(outcome.result, kind))
    return {name: getattr(outcome, name) for name in FIELDS} | {
        "measured": measured,
        "result": outcome.result.as_dict(),
    }


def _outcome(path: Path, number: int, line: Mapping[str, Any]) -> Outcome:
    try:
        kind = MEASURED[line["measured"]]
        return Outcome(
            method=str(line["method"]),
            evaluation=str(line["evaluation"]),
            variant=str(line["variant"]),
            seed=int(line["seed"]),
            fraction=float(line["fraction"]),
            setting=str(line["setting"]),
            config=str(line["config"]),
            seconds=float(line["seconds"]),
            result=kind.from_dict(line["result"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: line {number} is not the outcome of a run ({error!r})") from error
