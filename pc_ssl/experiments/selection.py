"""Settings of downstream runs, such as the learning rate, chosen for each start and fraction from one grid.

The settings are compared on a split of their own and with labelled subsets of their own, so that the choice has seen
neither the test scenes nor the subsets of the runs that are reported.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pc_ssl.errors import UserError
from pc_ssl.experiments.json_lines import read_lines, write_lines

CHOICES = "choices.jsonl"


@dataclass(frozen=True)
class Setting:
    """One point of a grid.

    Args:
        name: of a folder, such as "1e-3"; distinct within a grid.
        overrides: `key=value` on top of the evaluation's config, such as `train.learning_rate=1e-3`.
    """

    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """How the setting of an evaluation is chosen: the highest mean score over `seeds`, the earliest of equal ones.

    Args:
        settings: the grid, the same for all starts and fractions.
        split: of the cache, on which the settings are compared; not the plan's validation split.
        seeds: of the compared runs and of their labelled subsets. They start from the pretrainings of the plan's first
            seed, since settings are chosen once for all seeds.

    Raises:
        UserError: fewer than two settings, or no seed.
    """

    settings: tuple[Setting, ...]
    split: str = "val"
    seeds: tuple[int, ...] = (100,)

    def __post_init__(self) -> None:
        if len(self.settings) < 2 or not self.seeds:
            raise UserError(
                f"selection: {len(self.settings)} settings and {len(self.seeds)} seeds, expected at least 2 and 1"
            )


@dataclass(frozen=True)
class Choice:
    """The setting that was chosen for a start and a fraction.

    Args:
        method: of the plan.
        evaluation: of the plan.
        fraction: labelled share.
        split: on which the settings were compared.
        scores: name of each setting, in the order of the grid -> its scores in [0, 1], one for each seed.
    """

    method: str
    evaluation: str
    fraction: float
    split: str
    scores: Mapping[str, tuple[float, ...]]

    @property
    def setting(self) -> str:
        """Name of the setting with the highest mean score; of equal ones the first."""
        return max(self.scores, key=lambda name: statistics.mean(self.scores[name]))


def write_choices(path: Path, choices: Iterable[Choice]) -> None:
    """Write one line of JSON for each choice, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    write_lines(path, ({**asdict(choice), "chosen": choice.setting} for choice in choices))


def read_choices(path: Path) -> list[Choice]:
    """The choices that `write_choices` wrote.

    Raises:
        UserError: the file cannot be read, or a line is not a choice.
    """
    return [_choice(path, number, line) for number, line in read_lines(path)]


def _choice(path: Path, number: int, line: Mapping[str, Any]) -> Choice:
    try:
        scores = {str(name): tuple(map(float, values)) for name, values in line["scores"].items()}
        names = (str(line["method"]), str(line["evaluation"]), float(line["fraction"]), str(line["split"]))
        choice = Choice(*names, scores)
        chosen = choice.setting
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: line {number} is not the choice of a setting ({error!r})") from error
    if line.get("chosen") != chosen:
        raise UserError(f"{path}: line {number}: chosen is {line.get('chosen')!r}, but {chosen!r} has the highest mean")
    return choice
