"""Learning rate and momentum of a step: pure functions of the step, so that a resumed run needs no scheduler state.

A schedule gives factors on the peak learning rate, which `TrainOptions.learning_rate` states for every schedule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pc_ssl.errors import UserError

BETA = 0.9  # AdamW's default, for schedules with a constant beta


class ScheduleFactors(NamedTuple):
    """Factor on the peak learning rate, and AdamW's first beta."""

    learning_rate: float
    beta: float


class Schedule(Protocol):
    """Evaluated before each step."""

    def factors(self, step: int, steps: int) -> ScheduleFactors:
        """The factors of step `step` in 0..`steps` - 1."""
        ...


@dataclass(frozen=True)
class OneCycle:
    """The one-cycle policy (Smith and Topin 2019) as in torch's OneCycleLR.

    The defaults are the constants of OpenPCDet's and CenterPoint's configs.

    Args:
        rise: share of the run in which the learning rate rises.
        start: learning rate of the first step, relative to the peak.
        end: learning rate of the last step, relative to the peak.
        beta, beta_at_peak: AdamW's first beta at the ends of the run and at the peak.

    Raises:
        UserError: a value is out of range.
    """

    rise: float = 0.4
    start: float = 1 / 10
    end: float = 1 / 10 / 1e4
    beta: float = 0.95
    beta_at_peak: float = 0.85

    def __post_init__(self) -> None:
        _check_share("rise", self.rise)

    def factors(self, step: int, steps: int) -> ScheduleFactors:
        top = self.rise * steps - 1
        if step <= top:
            part = step / top
            return ScheduleFactors(_cosine(self.start, 1.0, part), _cosine(self.beta, self.beta_at_peak, part))
        part = (step - top) / (steps - 1 - top) if steps > 1 else 0.0
        return ScheduleFactors(_cosine(1.0, self.end, part), _cosine(self.beta_at_peak, self.beta, part))


@dataclass(frozen=True)
class Cyclic:
    """One cycle of mmcv's cyclic policy, with which BEVFusion trains.

    mmcv's config states the learning rate of the first step; the peak, after `rise` of the run, is `peak_ratio` times
    that, and the run ends near `end_ratio` times that:

        s = floor(rise * steps)
        step <  s: start + (peak - start) (1 - cos(pi step / s)) / 2
        step >= s: end + (peak - end) (1 + cos(pi (step - s) / (steps - s))) / 2

    The first beta varies inversely.

    Args:
        peak_ratio: peak relative to the first step; mmcv's default.
        rise: share of the run in which the learning rate rises; mmcv's default.
        end_ratio: learning rate at the end, relative to the first step; mmcv's default.
        beta, beta_at_peak: AdamW's first beta at the ends of the run and at the peak. mmcv multiplies the optimiser's
            own beta, which BEVFusion leaves at AdamW's default 0.9, by 0.85 / 0.95 at the peak.

    Raises:
        UserError: a value is out of range.
    """

    peak_ratio: float = 10.0
    rise: float = 0.4
    end_ratio: float = 1e-4
    beta: float = BETA
    beta_at_peak: float = BETA * 0.85 / 0.95

    def __post_init__(self) -> None:
        _check_share("rise", self.rise)
        if self.peak_ratio < 1 or not 0 <= self.end_ratio <= self.peak_ratio:
            raise UserError(
                f"train.schedule: peak_ratio is {self.peak_ratio:g} and end_ratio {self.end_ratio:g}, expected 1 or "
                "more, and 0 to peak_ratio"
            )

    def factors(self, step: int, steps: int) -> ScheduleFactors:
        top = math.floor(self.rise * steps)
        start, end = 1 / self.peak_ratio, self.end_ratio / self.peak_ratio
        if step < top:
            part = step / top
            return ScheduleFactors(_cosine(start, 1.0, part), _cosine(self.beta, self.beta_at_peak, part))
        part = (step - top) / (steps - top)
        return ScheduleFactors(_cosine(1.0, end, part), _cosine(self.beta_at_peak, self.beta, part))


@dataclass(frozen=True)
class Cosine:
    """Cosine decay after a linear warm-up from 0; the first beta is constant.

        step <  w: step / w
        step >= w: floor + (1 - floor) (1 + cos(pi (step - w) / (steps - w))) / 2

    Args:
        warmup_steps: w.
        warmup_share: w as a share of the run, instead of `warmup_steps`; rounded down.
        floor: learning rate at the end, relative to the peak.

    Raises:
        UserError: a value is out of range, or the warm-up is given twice.
    """

    warmup_steps: int = 0
    warmup_share: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup_steps and self.warmup_share:
            raise UserError("train.schedule: both warmup_steps and warmup_share are set; set one of them")
        if self.warmup_steps < 0 or not 0 <= self.warmup_share < 1 or not 0 <= self.floor <= 1:
            raise UserError(
                f"train.schedule: warmup_steps is {self.warmup_steps}, warmup_share {self.warmup_share:g}, floor "
                f"{self.floor:g}; expected 0 or more, 0 to below 1, and 0 to 1"
            )

    def factors(self, step: int, steps: int) -> ScheduleFactors:
        warmup = self.warmup_steps or math.floor(self.warmup_share * steps)
        if step < warmup:
            return ScheduleFactors(step / warmup, BETA)
        return ScheduleFactors(_cosine(1.0, self.floor, (step - warmup) / (steps - warmup)), BETA)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise UserError(f"train.schedule: {name} is {value:g}, expected a share of the run between 0 and 1")


# What the names in configs and in `--set train.schedule=cosine` refer to.
SCHEDULES: dict[str, Schedule] = {"one_cycle": OneCycle(), "cosine": Cosine(), "cyclic": Cyclic()}
