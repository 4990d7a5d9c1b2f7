"""What frames will cost, found by making a few of them in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from data_prep.jobs import Executor, Job, Trial, attempt
from data_prep.reader import FrameName
from data_prep.report import Estimate, Failure
from pc_ssl.errors import UserError

SAMPLES = 3  # frames that an estimate is made from, spread evenly
MEMORY_MARGIN = 1.25  # frames differ in size, and the largest is hardly among those tried


def estimate_cost(
    frames: Sequence[FrameName], job_of: Callable[[FrameName], Job], executor: Executor, free_bytes: int
) -> Estimate:
    """Make a few of `frames`, and write nothing.

    Raises:
        UserError: none of them could be made.
    """
    if not frames:
        return Estimate(0, 0, executor.workers, 0.0, 0, free_bytes, 0)
    tried = sorted({round(index) for index in np.linspace(0, len(frames) - 1, SAMPLES)})
    results = list(executor.map(attempt, ((job_of(frames[index]),) for index in tried), len(tried)))
    trials = [result for result in results if isinstance(result, Trial)]
    reasons = [result.reason for result in results if isinstance(result, Failure)]
    if not trials:
        raise UserError(f"no frame could be tried: {reasons[0]}")
    workers = min(executor.workers, len(frames))
    return Estimate(
        frames=len(frames),
        tried=len(trials),
        workers=workers,
        seconds=len(frames) * float(np.mean([trial.seconds for trial in trials])) / workers,
        bytes=int(len(frames) * np.mean([trial.bytes for trial in trials])),
        free_bytes=free_bytes,
        memory_bytes=int(MEMORY_MARGIN * max(trial.memory_bytes for trial in trials)),
    )
