"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

LINE_EVERY_S = 10.0  # plain lines: at most one in this many seconds


def track(items: Iterable[T], *, total: int, what: str, unit: str = "frame") -> Iterator[T]:
    """Yield `items`, and show the number done of `total`, the rate, and the remaining time."""
    if sys.stderr.isatty():
        yield from _bar(items, total, what, unit)
    else:
        yield from _lines(items, total, what, unit)


def duration(seconds: float) -> str:
    """`75` -> `1m15s`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def _bar(items: Iterable[T], total: int, what: str, unit: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, rate="")
        start = time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            rate = done / max(time.monotonic() - start, 1e-9)
            progress.update(task, completed=done, rate=f"{rate:.1f} {unit}/s")


def _lines(items: Iterable[T], total: int, what: str, unit: str) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LINE_EVERY_S or done == total:
            rate = done / max(now - start, 1e-9)
            left = duration((total - done) / rate)
            print(f"{what}: {done}/{total} {unit}s, {rate:.1f} {unit}/s, {left} left", file=sys.stderr, flush=True)
            last = now
