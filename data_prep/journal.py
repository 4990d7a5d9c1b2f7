"""The record of a preparation under way: which frames are finished, so that a killed run goes on where it stopped.

One JSON value a line in `unfinished.jsonl`: first the options, then each finished frame's manifest entry. The file is
gone once the manifest is in place. A line that a kill cut short is dropped; a frame whose line was lost is made again.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pc_ssl.data.cache import FrameEntry
from pc_ssl.errors import UserError

JOURNAL = "unfinished.jsonl"


class Journal:
    """Opens the journal of `folder` and holds it locked: one preparation writes a cache at a time.

    Args:
        folder: the cache; it is made if it does not exist.
        options: of this preparation.

    Raises:
        UserError: another process prepares this cache, or the folder cannot be written.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        self.path = folder / JOURNAL
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another pc-ssl prepare is writing this cache") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._file.seek(0)
        header, self.entries, whole = _parse(self._file.read())
        self._file.truncate(whole)
        self.options: Mapping[str, Any] = options if header is None else header
        if header is None:
            self._append(options)

    def add(self, entry: FrameEntry) -> None:
        """Note a finished frame, whose file is on the disk.

        Raises:
            UserError: the journal cannot be written.
        """
        self._append(asdict(entry))

    def close(self, *, finished: bool) -> None:
        """Let go of the cache; a finished preparation needs no journal any more."""
        if finished:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _append(self, value: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error


def journal_options(folder: Path) -> Mapping[str, Any] | None:
    """The options of an unfinished preparation in `folder`; None if there is none."""
    try:
        return _parse((folder / JOURNAL).read_bytes())[0]
    except OSError:
        return None


def _parse(content: bytes) -> tuple[Mapping[str, Any] | None, dict[str, FrameEntry], int]:
    """Options, entries by token, and the length in bytes of the lines that are whole."""
    options, entries, whole = None, {}, 0
    for line in content.splitlines(keepends=True):
        try:
            value = json.loads(line)
            if not line.endswith(b"\n"):
                break
            if options is None:
                options = dict(value)
            else:
                entry = FrameEntry(**value)
                entries[entry.token] = entry
        except (TypeError, ValueError):
            break
        whole += len(line)
    return options, entries, whole
