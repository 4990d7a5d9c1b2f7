"""Parallel preparation: the job of one frame, and the executor of jobs.

for outcome in Executor(workers=8).map(write, ((job, out) for job in jobs), len(jobs)): ...
"""

from __future__ import annotations

import itertools
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from data_prep.reader import FrameName
from data_prep.report import Failure
from pc_ssl.data.cache import FrameEntry, write_frame
from pc_ssl.errors import UsageError, UserError

T = TypeVar("T")
MAX_PENDING_PER_THREAD = 2  # jobs sent to a cluster before waiting for results, per thread


@dataclass(frozen=True)
class Content:
    """A frame's file, the generators without regions in the frame, and counts of left-out data by reason."""

    file: bytes
    without_regions: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def of(file: bytes, tensors: Mapping[str, NDArray], left_out: Mapping[str, int]) -> Content:
        """The file of `tensors`."""
        empty = [key for key, region in tensors.items() if key.startswith("region/") and not (region >= 0).any()]
        return Content(file, tuple(key.removeprefix("region/") for key in empty), left_out)


@dataclass(frozen=True)
class Job:
    """Makes one frame's file; `content` raises UserError if a file is missing or damaged."""

    frame: FrameName
    content: Callable[[], Content]


@dataclass(frozen=True)
class Outcome:
    """The result of a frame, and the process's peak memory so far."""

    result: FrameEntry | Failure
    memory_bytes: int
    without_regions: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """The cost of one frame. `memory_bytes`: the process's peak memory so far."""

    seconds: float
    bytes: int
    memory_bytes: int


def write(job: Job, out: Path) -> Outcome:
    """Make and write a frame.

    Raises:
        UserError: it cannot be written. This ends the run; read errors only fail the frame.
    """
    frame = job.frame
    content = _made(job)
    if isinstance(content, Failure):
        return Outcome(content, peak_memory())
    entry = write_frame(out, frame.scene, frame.token, frame.timestamp_us, content.file)
    return Outcome(entry, peak_memory(), content.without_regions, content.left_out)


def attempt(job: Job) -> Trial | Failure:
    """Make a frame twice and time the second run, as the first one loads compiled code."""
    content = _made(job)
    if isinstance(content, Failure):
        return content
    begin = time.perf_counter()
    job.content()
    return Trial(time.perf_counter() - begin, len(content.file), peak_memory())


def _made(job: Job) -> Content | Failure:
    try:
        return job.content()
    except UserError as error:
        return Failure(job.frame.token, job.frame.scene, str(error))
    except Exception as error:  # a bug that affects one frame must not end the run
        return Failure(job.frame.token, job.frame.scene, f"{type(error).__name__}: {error}")


def peak_memory() -> int:
    """Peak memory of this process so far, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss includes memory of the parent process
        return 1024 * int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


@dataclass(frozen=True)
class Executor:
    """Runs jobs in processes or on a cluster.

    Args:
        workers: processes on this machine; 1 is this process.
        scheduler: address of a Dask scheduler, such as "tcp://head:8786", whose workers are used instead; they must
            see the data and the cache at the same paths.

    Raises:
        UsageError: workers is not positive.
    """

    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"workers: {self.workers} is not positive")

    @property
    def is_this_process(self) -> bool:
        return self.workers == 1 and self.scheduler is None

    def outside_this_process(self) -> Executor:
        """The same with at least two workers: jobs run apart from this process, whose tables do not count to theirs."""
        return replace(self, workers=max(self.workers, 2))

    def map(self, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]], count: int) -> Iterator[T]:
        """Results of `function` for each of `count` tasks, in order of completion.

        Raises:
            UserError: the scheduler cannot be reached, or Dask is not installed.
        """
        if self.scheduler is not None:
            yield from _map_on_cluster(self.scheduler, function, tasks)
        else:
            yield from _map_here(min(self.workers, max(count, 1)), function, tasks)


def _map_here(workers: int, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1, initializer=end_with, initargs=(os.getpid(),)):
        yield from Parallel(n_jobs=workers, return_as="generator_unordered")(delayed(function)(*task) for task in tasks)


def _map_on_cluster(scheduler: str, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    """With Dask's interface, as joblib's Dask backend returns no results before all tasks are done."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise UserError("backend: dask is not installed; pip install 'pc-ssl[dask]'") from None
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise UserError(f"scheduler: no response from a Dask scheduler at {scheduler!r} ({error})") from None
    with client:
        waiting = iter(tasks)
        threads = max(sum(client.nthreads().values()), 1)
        running = as_completed([])
        for task in itertools.islice(waiting, MAX_PENDING_PER_THREAD * threads):
            running.add(client.submit(function, *task, pure=False))
        for future in running:
            yield future.result()
            for task in itertools.islice(waiting, 1):
                running.add(client.submit(function, *task, pure=False))


def end_with(parent: int) -> None:
    """End this worker soon after its parent was killed; loky's workers otherwise wait five minutes for work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
