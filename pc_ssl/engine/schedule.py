"""Learning rate and momentum of a step: a pure function of the step, so a resumed run needs no scheduler's state."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

# The one-cycle policy (Smith and Topin 2019) with the constants that the SECOND family of LiDAR detectors trains with.
RISE = 0.4  # part of the run in which the learning rate rises
START = 1 / 10  # learning rate of the first step, relative to the highest
END = START / 1e4  # and of the last one
BETA_SLOW, BETA_FAST = 0.95, 0.85  # AdamW's first beta at the lowest and at the highest learning rate

BETA = 0.9  # AdamW's own default, for schedules that leave it alone


class ScheduleFactors(NamedTuple):
    """Factor on the highest learning rate, and AdamW's first beta."""

    learning_rate: float
    beta: float


def schedule_factors(schedule: Literal["one_cycle", "cosine"], step: int, steps: int) -> ScheduleFactors:
    """The factors of step `step` in 0..`steps` - 1."""
    if schedule == "cosine":
        return ScheduleFactors(_cosine(1.0, 0.0, step / steps), BETA)
    top = RISE * steps - 1
    if step <= top:
        part = step / top
        return ScheduleFactors(_cosine(START, 1.0, part), _cosine(BETA_SLOW, BETA_FAST, part))
    part = (step - top) / (steps - 1 - top) if steps > 1 else 0.0
    return ScheduleFactors(_cosine(1.0, END, part), _cosine(BETA_FAST, BETA_SLOW, part))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
