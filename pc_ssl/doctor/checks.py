"""One check: a computation on a device, compared with a reference and with the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import torch
from torch import Tensor

Values = Mapping[str, Tensor]
Result = TypeVar("Result")
ROUNDS = 7  # of a comparison of times
SLOWER = 1.5  # times the baseline's time: less is within the noise of a shared machine


class Status(Enum):
    """RIGHT: as the references. WRONG: other numbers, or an error. SLOW: right, and slower than it should be. MISSING:
    a part is not installed."""

    RIGHT = "right"
    WRONG = "wrong"
    SLOW = "slow"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """A computation with known results.

    Args:
        group: "op", "backbone", "head" or "method".
        name: distinct within the group.
        run: computes named tensors on a device; the same on every call.
        reference: independent computation of the same tensors on the CPU, in float64; None: stored numbers alone.
        baseline: the same work by plain PyTorch on the device, whose time `run` should not exceed; None: none.
        tolerance: largest difference, relative to the largest magnitude of a tensor.
    """

    group: str
    name: str
    run: Callable[[torch.device], Values]
    reference: Callable[[], Values] | None = None
    baseline: Callable[[torch.device], Values] | None = None
    tolerance: float = 1e-5

    @property
    def key(self) -> str:
        """Prefix of the stored references."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Args:
        check: its key.
        status: see `Status`.
        seconds: of the last of two runs.
        difference: largest difference to a reference, relative to the largest magnitude of the tensor; None: none was
            computed.
        ratio: seconds of the baseline over those of the run; None: no baseline.
        detail: the tensor that differs, the error, or what is missing; "" otherwise.
    """

    check: str
    status: Status
    seconds: float = 0.0
    difference: float | None = None
    ratio: float | None = None
    detail: str = ""


def outcome_of(check: Check, stored: Values, device: torch.device) -> Outcome:
    """Run a check and compare it with its references: independent ones, stored ones, and the CPU's float32."""
    try:
        check.run(device)  # the first run compiles, plans and allocates
        seconds, found = timed(lambda: check.run(device), device)
        expected = {f"reference {name}": value for name, value in (check.reference or dict)().items()}
        own = {name.removeprefix(f"{check.key}/"): v for name, v in stored.items() if name.startswith(f"{check.key}/")}
        expected |= {f"stored {name}": value for name, value in own.items()}
        if device.type != "cpu":
            expected |= {f"CPU {name}": value for name, value in check.run(torch.device("cpu")).items()}
    except ModuleNotFoundError as error:
        return Outcome(check.key, Status.MISSING, detail=f"{error.name} is not installed")
    except Exception as error:  # a check must not end the examination of the rest
        return Outcome(check.key, Status.WRONG, detail=" ".join(f"{type(error).__name__}: {error}".split())[:300])
    if not expected:
        return Outcome(check.key, Status.WRONG, seconds, detail="there is nothing to compare with")
    worst, name = max((difference_of(found[_plain(name)], value), name) for name, value in expected.items())
    if not worst <= check.tolerance:
        return Outcome(check.key, Status.WRONG, seconds, worst, detail=f"{name} differs")
    ratio = None if check.baseline is None else speed(check.run, check.baseline, device)
    status = Status.SLOW if ratio is not None and ratio < 1 / SLOWER else Status.RIGHT
    return Outcome(check.key, status, seconds, worst, ratio)


def difference_of(found: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest magnitude expected; infinite for other shapes, dtypes or NaN."""
    found = found.detach().cpu()
    if found.shape != expected.shape or found.is_floating_point() != expected.is_floating_point():
        return float("inf")
    if expected.numel() == 0:
        return 0.0
    a, b = found.double(), expected.detach().double()
    if not bool(torch.equal(a.isfinite(), b.isfinite())):
        return float("inf")
    a, b = a[b.isfinite()], b[b.isfinite()]
    if b.numel() == 0:
        return 0.0
    scale = float(b.abs().max()) or 1.0
    return float((a - b).abs().max()) / scale


def timed(run: Callable[[], Result], device: torch.device) -> tuple[float, Result]:
    """Seconds of a call, its kernels included, and what it returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, result


def speed(
    run: Callable[[torch.device], Values], baseline: Callable[[torch.device], Values], device: torch.device
) -> float:
    """Least time of the baseline over that of `run`, in turn: other programs only ever add to a time."""
    pairs = [(timed(lambda: run(device), device)[0], timed(lambda: baseline(device), device)[0]) for _ in range(ROUNDS)]
    return min(theirs for _, theirs in pairs) / min(ours for ours, _ in pairs)


def _plain(name: str) -> str:
    return name.split(" ", 1)[1]
