"""State file of a simulated root: the options that it was made with, and whether it is complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pc_ssl.errors import UserError
from pc_ssl.files import read_json, write_json

STATE = "simulation.json"
DEFAULT = "the default"  # in messages: an option that is not listed


def is_complete(out: Path, options: Mapping[str, Any], command: str) -> bool:
    """Whether `out` already holds this simulation, complete.

    Raises:
        UserError: it has other content, or was simulated with other options; nothing is changed.
    """
    state_file = out / STATE
    if not state_file.exists():
        if out.exists() and (not out.is_dir() or any(_contents(out))):
            raise UserError(f"{out}: is not empty and has no {STATE}; expected a new or an empty folder")
        return False
    state = read_json(state_file)
    found = state.get("options") if isinstance(state, dict) else None
    if not isinstance(found, dict):
        raise UserError(f"{state_file}: field options is missing; expected what `pc-ssl simulate {command}` wrote")
    for name in dict.fromkeys((*options, *found)):
        value, was = options.get(name, DEFAULT), found.get(name, DEFAULT)
        wanted = list(value) if isinstance(value, tuple) else value
        if was != wanted:
            raise UserError(
                f"{state_file}: field options.{name} is {was}, but {wanted} was requested; choose another folder"
            )
    return bool(state.get("complete"))


def write_state(out: Path, options: Mapping[str, Any], complete: bool) -> None:
    """Write the options, at the beginning and at the end of a simulation.

    Raises:
        UserError: the file cannot be written.
    """
    write_json(out / STATE, {"options": dict(options), "complete": complete})


def size_text(count: float) -> str:
    """`2_500_000` -> `2.5 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _contents(folder: Path) -> Iterator[Path]:
    """Content of a folder, without the unfinished files of a run that was killed at its start."""
    return (path for path in folder.iterdir() if not path.name.startswith(STATE))
