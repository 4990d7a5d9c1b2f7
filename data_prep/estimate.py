"""Estimated cost of frames, from a few frames made in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from data_prep.jobs import Executor, Job, Trial, attempt
from data_prep.reader import FrameName
from data_prep.report import Estimate, Failure
from pc_ssl.errors import UserError

SAMPLES = 3  # evenly spaced frames of an estimate
MEMORY_MARGIN = 1.25  # frames differ in size, and the samples rarely include the largest


def estimate_cost(
    frames: Sequence[FrameName],
    job_of: Callable[[FrameName], Job],
    executor: Executor,
    free_bytes: int,
    trials_by: Executor | None = None,
) -> Estimate:
    """Make a few of `frames` without writing.

    Args:
        frames: that are left.
        job_of: how one is made.
        executor: that will make them all.
        free_bytes: of the disk.
        trials_by: makes the few; None: `executor`. Their peak memory includes all that its processes hold.

    Raises:
        UserError: all of them failed.
    """
    if not frames:
        return Estimate(0, 0, executor.workers, 0.0, 0, free_bytes, 0)
    tried = sorted({round(index) for index in np.linspace(0, len(frames) - 1, SAMPLES)})
    results = list((trials_by or executor).map(attempt, ((job_of(frames[index]),) for index in tried), len(tried)))
    trials = [result for result in results if isinstance(result, Trial)]
    reasons = [result.reason for result in results if isinstance(result, Failure)]
    if not trials:
        raise UserError(f"all sampled frames failed: {reasons[0]}")
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
