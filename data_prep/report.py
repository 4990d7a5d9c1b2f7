"""Results and estimates of preparation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pc_ssl.data.cache import FAILED
from pc_ssl.progress import duration

NO_REGIONS_ADVICE = "are points in metres, z up, and is the sensor's height above the ground right?"
SHOWN_FAILURES = 5  # reasons printed in the summary; failed.json has all


@dataclass(frozen=True)
class Failure:
    """A frame that could not be prepared; the reason contains the file."""

    token: str
    scene: str
    reason: str


@dataclass(frozen=True)
class PrepareReport:
    """The result of a run.

    Args:
        out: the cache.
        prepared: number of frames written by this run.
        kept: number of existing frames, checked byte for byte.
        failures: frames that could not be prepared.
        waiting: number of missing frames of other shards; the manifest is written when there are none.
        seconds: duration of the run.
        memory_bytes: peak memory of a process that made frames.
        vanished: frames of the cache that are no longer in the data set.
        without_regions: generator -> number of prepared frames without its regions.
        left_out: reason -> count of data left out of the prepared frames.
    """

    out: Path
    prepared: int
    kept: int
    failures: tuple[Failure, ...]
    waiting: int
    seconds: float
    memory_bytes: int
    vanished: tuple[str, ...] = ()
    without_regions: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """3 if frames are missing, else 0."""
        return 3 if self.failures else 0

    def summary(self) -> str:
        """Summary for the user: results, the first failures, and what to do."""
        return "\n".join([self._done(), *self._warnings()])

    def _warnings(self) -> list[str]:
        lines = []
        if self.left_out:
            lines.append(
                "left out or to be checked: " + ", ".join(f"{count} {what}" for what, count in self.left_out.items())
            )
        if self.vanished:
            lines.append(
                f"{len(self.vanished)} frames of the cache are no longer in the data set, the first "
                f"{self.vanished[0]}; they are kept in the cache"
            )
        lines += [
            f"{name}: no regions in {count} of {self.prepared} frames prepared; {NO_REGIONS_ADVICE}"
            for name, count in self.without_regions.items()
            if 2 * count > self.prepared
        ]
        return lines

    def _done(self) -> str:
        if not self.prepared and not self.failures and not self.waiting:
            return f"{self.out}: already complete with these options, {self.kept} frames checked; nothing to do"
        memory = f", at most {self.memory_bytes / 1e6:.0f} MB of memory per worker" if self.prepared else ""
        lines = [f"{self.out}: {self.prepared} frames prepared, {self.kept} kept, in {duration(self.seconds)}{memory}"]
        if self.failures:
            lines[0] += f"; {len(self.failures)} frames failed"
            lines += [f"  {failure.reason}" for failure in self.failures[:SHOWN_FAILURES]]
            if len(self.failures) > SHOWN_FAILURES:
                lines.append(f"  ... and {len(self.failures) - SHOWN_FAILURES} more")
            where = "" if self.waiting else f" ({self.out / FAILED} has all)"
            lines.append(f"the same command tries them again{where}")
        if self.waiting:
            lines.append(f"{self.waiting} frames of other shards are missing; the last shard completes the cache")
        return "\n".join(lines)


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of a preparation.

    Args:
        frames: number of frames to prepare.
        tried: number of sampled frames.
        workers: number of parallel processes.
        seconds: duration with all workers, without disk time.
        bytes: size of the frames on the disk.
        free_bytes: free space of the disk.
        memory_bytes: peak memory per process.
    """

    frames: int
    tried: int
    workers: int
    seconds: float
    bytes: int
    free_bytes: int
    memory_bytes: int

    def summary(self) -> str:
        """Summary for the user."""
        if not self.frames:
            return "no frames to prepare"
        return (
            f"{self.frames} frames, about {duration(self.seconds)} with {self.workers} "
            f"worker{'s' if self.workers > 1 else ''}, about {self.bytes / 1e9:.2f} GB of disk "
            f"({self.free_bytes / 1e9:.2f} GB free), up to {self.memory_bytes / 1e6:.0f} MB of memory per worker; "
            f"from {self.tried} frames tried"
        )
