"""Helpers shared by all simulations: a simulation is a number of parts (scenes, rooms), each made independently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pc_ssl.errors import UsageError

VAL_SHARE = 0.2  # of the parts, the last ones, at least one of two


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Check that an option of the command line is in low..high.

    Raises:
        UsageError: it is not.
    """
    if not low <= value <= high:
        raise UsageError(f"--{name}: {value} is out of range, expected {low} to {high}")


def train_and_val(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of the training parts and of those held out."""
    first = len(names) - (max(round(VAL_SHARE * len(names)), 1) if len(names) > 1 else 0)
    return list(names[:first]), list(names[first:])


def in_processes(make: Callable[..., Any], arguments: Sequence[tuple], workers: int) -> Iterator[None]:
    """Call `make(*arguments[k])` for each k, one by one or in `workers` processes; yields after each."""
    if workers <= 1 or len(arguments) <= 1:
        for one in arguments:
            _on_one_core(make, one)
            yield
        return
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=min(workers, len(arguments)), return_as="generator")
    yield from pool(delayed(_on_one_core)(make, one) for one in arguments)


def _on_one_core(make: Callable[..., Any], arguments: tuple) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # parts run in parallel, so threads within a part would compete for the same cores
        make(*arguments)
