"""`pc-ssl` commands in separate processes, in parallel, each with its cost; a finished one is not run again."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pc_ssl.errors import UserError
from pc_ssl.files import read_json, write_json
from pc_ssl.progress import duration

OUTPUT, COST = "output.txt", "job.json"


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds of a job over all its starts, and the largest resident memory of its process."""

    seconds: float
    peak_memory_mib: float


@dataclass(frozen=True)
class Job:
    """One `pc-ssl` command.

    Args:
        arguments: of the command; running it again must continue it, or do nothing.
        folder: keeps its output and its cost.
        product: the file or folder that it writes last.
        key: everything besides the arguments that the outcome depends on, such as checksums of files; a finished job is
            run again when it changes.
    """

    arguments: Sequence[str | Path]
    folder: Path
    product: Path
    key: str = ""

    @property
    def command(self) -> str:
        return shlex.join(["pc-ssl", *map(str, self.arguments)])

    def cost(self) -> Cost | None:
        """Cost of the job; None if it is not finished."""
        content = self._record()
        if not content.get("done") or not self.product.exists():
            return None
        return Cost(content["seconds"], content["peak_memory_mib"])

    def _record(self) -> dict:
        path = self.folder / COST
        content = read_json(path) if path.exists() else {}
        return content if content.get("identity") == self._identity else {}

    @property
    def _identity(self) -> list[str]:
        return [*map(str, self.arguments), self.key]

    def run(self, threads: int) -> None:
        """Run the command with this number of threads, and keep its output and cost in its folder.

        Raises:
            UserError: it failed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        output, before = self.folder / OUTPUT, self._record()
        start = time.monotonic()
        code, peak_memory_mib = self._call(output, threads)
        record = {
            "identity": self._identity,
            "done": code == 0,
            "seconds": round(before.get("seconds", 0.0) + time.monotonic() - start, 2),
            "peak_memory_mib": round(max(before.get("peak_memory_mib", 0.0), peak_memory_mib), 1),
        }
        write_json(self.folder / COST, record)
        if code:
            last = (output.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
            raise UserError(f"{self.command}: exit code {code}: {last} (all of it: {output})")

    def _call(self, output: Path, threads: int) -> tuple[int, float]:
        """Exit code, and the largest resident memory in MiB, of the command, run in a separate process."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        with output.open("w") as file:
            arguments = [sys.executable, "-m", "pc_ssl.cli", *map(str, self.arguments)]
            process = subprocess.Popen(arguments, stdout=file, stderr=subprocess.STDOUT, env=environment)
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, usage.ru_maxrss / 1024


def run_jobs(jobs: Sequence[Job], cores: int, report: Callable[[str], None] = print) -> None:
    """Run the jobs that are not finished: one alone with all cores, several in parallel with one core each.

    Raises:
        UserError: one of them failed; those running at that time finish, no other is started.
    """
    left = [job for job in jobs if job.cost() is None]
    threads = cores if len(left) == 1 else 1

    def run(job: Job) -> None:
        report(job.command)
        job.run(threads)

    pool = ThreadPoolExecutor(max(1, min(cores, len(left))))
    try:
        for _ in pool.map(run, left):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


class Stages:
    """Stages of a longer run. A file keeps the time of each: that of the start that first finished it.

    Args:
        path: the file, JSON.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path) if path.exists() else {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Print that a stage begins, and how long it took."""
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        yield
        self.seconds.setdefault(name, round(time.monotonic() - start, 1))
        write_json(self.path, self.seconds)
        print(f"{name}: {duration(self.seconds[name])}", flush=True)

    def total(self) -> dict[str, float]:
        """The seconds of each stage, and "total"."""
        return {**self.seconds, "total": round(sum(self.seconds.values()), 1)}
