"""What a preparation did, and what one would cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pc_ssl.progress import duration

FAILED = "failed.json"
SHOWN_FAILURES = 5  # reasons that the summary prints; failed.json has all


@dataclass(frozen=True)
class Failure:
    """A frame that could not be prepared; the reason names the file."""

    token: str
    scene: str
    reason: str


@dataclass(frozen=True)
class PrepareReport:
    """What a run did.

    Args:
        out: the cache.
        prepared: frames that this run wrote.
        kept: frames that were there already, checked byte for byte.
        failures: frames that could not be prepared.
        waiting: frames of other shards that are not prepared yet; the manifest is written when there are none.
        seconds: that the run took.
        memory_bytes: the most that a process held that made frames.
    """

    out: Path
    prepared: int
    kept: int
    failures: tuple[Failure, ...]
    waiting: int
    seconds: float
    memory_bytes: int

    @property
    def exit_code(self) -> int:
        """3 if frames are missing, else 0."""
        return 3 if self.failures else 0

    def summary(self) -> str:
        """For the user: what was done, the first few failures, and what there is to do."""
        if not self.prepared and not self.failures and not self.waiting:
            return f"{self.out}: already complete with these options, {self.kept} frames checked; nothing to do"
        memory = f", at most {self.memory_bytes / 1e6:.0f} MB of memory a worker" if self.prepared else ""
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
    """What a preparation would cost.

    Args:
        frames: that are left to do.
        tried: how many of them the figures come from.
        workers: processes at work at a time.
        seconds: of all workers together, without the disk's own time.
        bytes: that the frames take on the disk.
        free_bytes: that the disk has.
        memory_bytes: that each process which makes frames needs at most.
    """

    frames: int
    tried: int
    workers: int
    seconds: float
    bytes: int
    free_bytes: int
    memory_bytes: int

    def summary(self) -> str:
        """For the user."""
        if not self.frames:
            return "0 frames are left to do"
        return (
            f"{self.frames} frames, about {duration(self.seconds)} with {self.workers} "
            f"worker{'s' if self.workers > 1 else ''}, about {self.bytes / 1e9:.2f} GB of disk "
            f"({self.free_bytes / 1e9:.2f} GB free), up to {self.memory_bytes / 1e6:.0f} MB of memory a worker; "
            f"from {self.tried} frames tried"
        )
