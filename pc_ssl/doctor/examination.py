"""All checks on one device, their table and their JSON."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pc_ssl.doctor.checks import Check, Outcome, Status, Values, outcome_of
from pc_ssl.doctor.machine import Part, parts
from pc_ssl.doctor.op_checks import op_checks
from pc_ssl.progress import track

REFERENCES = Path(__file__).parent / "references.npz"


@dataclass(frozen=True)
class Examination:
    """What is installed, and what every check found on a device."""

    device: str
    parts: tuple[Part, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing that the package needs is wrong or missing."""
        checked = all(outcome.status in (Status.RIGHT, Status.SLOW) for outcome in self.outcomes)
        return checked and all(part.present for part in self.parts if part.required)

    def text(self) -> str:
        """A table for a terminal, and a last line that counts."""
        lines = [part.line() for part in self.parts]
        lines += ["", f"{'on ' + self.device:38} {'':8} {'ms':>9} {'difference':>11}  {'speed':>6}"]
        for outcome in self.outcomes:
            difference = "" if outcome.difference is None else f"{outcome.difference:.1e}"
            ratio = "" if outcome.ratio is None else f"x{outcome.ratio:.1f}"
            lines.append(
                f"{outcome.check:38} {outcome.status.value:8} {1000 * outcome.seconds:9.1f} {difference:>11}  "
                f"{ratio:>6}  {outcome.detail}".rstrip()
            )
        counts = {status: sum(outcome.status is status for outcome in self.outcomes) for status in Status}
        lines += [
            "",
            ", ".join(f"{count} {status.value}" for status, count in counts.items())
            + "; difference: largest, relative to the largest value; speed: times plain PyTorch's",
        ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """As JSON values; an infinite difference, such as of another shape, is None."""
        return {
            "device": self.device,
            "parts": [asdict(part) for part in self.parts],
            "checks": [_as_json(outcome) for outcome in self.outcomes],
        }


def examine(device: torch.device) -> Examination:
    """Run all checks on the CPU or a GPU."""
    with np.load(REFERENCES, allow_pickle=False) as file:
        stored = {name: torch.from_numpy(file[name]) for name in file.files}
    found = checks()
    outcomes = []
    for check in track(found, total=len(found), what="examining", unit="check"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is missing has a line of its own
            outcomes.append(outcome_of(check, stored, device))
    return Examination(_name(device), tuple(parts()), tuple(outcomes))


def checks() -> Sequence[Check]:
    """Ops, backbones, heads and methods, in this order; without spconv the ops alone, and one that says so."""
    try:
        from pc_ssl.doctor.training_checks import training_checks
    except ModuleNotFoundError as error:
        return [*op_checks(), Check("backbone", "all", functools.partial(_raise, error))]
    return [*op_checks(), *training_checks()]


def _raise(error: ModuleNotFoundError, _: torch.device) -> Values:
    raise error


def _as_json(outcome: Outcome) -> dict[str, Any]:
    difference = outcome.difference
    finite = difference is not None and math.isfinite(difference)
    return asdict(outcome) | {"status": outcome.status.value, "difference": difference if finite else None}


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
