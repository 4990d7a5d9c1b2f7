"""What a preparation did, and what one would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pc_ssl.progress import duration

FAILED = "failed.json"
NO_REGIONS_ADVICE = "are points in metres, z up, and is the sensor's height above the ground right?"
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
        vanished: frames of the cache that the data set does not list any more.
        without_regions: generator -> how many of the frames prepared have no region by it.
        left_out: what of the frames prepared was left out, with its count.
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
        """For the user: what was done, the first few failures, and what there is to do."""
        return "\n".join([self._done(), *self._warnings()])

    def _warnings(self) -> list[str]:
        lines = []
        if self.left_out:
            lines.append(
                "left out or to be checked: " + ", ".join(f"{count} {what}" for what, count in self.left_out.items())
            )
        if self.vanished:
            lines.append(
                f"{len(self.vanished)} frames of the cache are not in the data set any more, the first "
                f"{self.vanished[0]}; they stay in the cache"
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
