"""The folder of one training run: what it trains, its log, its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.errors import UserError
from pc_ssl.files import PARTIAL_SUFFIX, read_json, write_bytes, write_json
from pc_ssl.version import __version__

SHOWN = 5  # number of differing settings in an error


@dataclass(frozen=True)
class RunFolder:
    """`run.json` (settings), `log.jsonl`, `tensorboard/`, `checkpoint.safetensors`."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "run.json"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    def check(self, settings: Mapping[str, Any], resume: bool) -> None:
        """Check that a run with these settings may start or resume here.

        Args:
            settings: everything that the run's numbers depend on; JSON values.
            resume: whether an existing run may be resumed.

        Raises:
            UserError: the folder holds a run and `resume` is not set, or it has other settings.
        """
        if not (self.settings.exists() or self.checkpoint.exists()):
            return
        if not resume:
            raise UserError(
                f"{self.path}: holds a run already; add --resume to continue it, or choose another --work-dir"
            )
        content = read_json(self.settings)
        before = content.get("settings") if isinstance(content, dict) else None
        if not isinstance(before, dict):
            raise UserError(f"{self.settings}: field 'settings' is missing; not a run of pc_ssl")
        now = json.loads(json.dumps(settings))
        differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if differing:
            shown = ", ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in differing[:SHOWN])
            more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
            raise UserError(
                f"{self.settings}: the run has other settings: {shown}{more}; "
                "resume with the same ones, or choose another --work-dir"
            )

    def open(self, settings: Mapping[str, Any], last_step: int) -> None:
        """Prepare the folder for training after `last_step`: later lines of the log are dropped.

        Raises:
            UserError: the folder cannot be written.
        """
        for file in (self.settings, self.log, self.checkpoint):
            for unfinished in self.path.glob(f"{file.name}.*{PARTIAL_SUFFIX}"):
                unfinished.unlink(missing_ok=True)
        write_json(self.settings, {"pc_ssl": __version__, "settings": dict(settings)})
        lines = self.log.read_bytes().splitlines(keepends=True) if self.log.exists() else []
        write_bytes(self.log, b"".join(line for line in lines if 0 < _step_of(line) <= last_step))


def _step_of(line: bytes) -> int:
    """The step of a log line; 0 for a line that a killed process left unfinished."""
    try:
        return int(json.loads(line)["step"]) if line.endswith(b"\n") else 0
    except (ValueError, KeyError, TypeError):
        return 0
