"""Journal of a preparation in progress: the finished frames, so that an interrupted run can be resumed.

Each shard has a journal, unfinished-1-of-4.jsonl; a run without shards is shard 1 of 1. One JSON object per line:
{"options": ...} first, then {"frame": the manifest's entry}, {"failure": ...} or {"again": token} for a frame whose
failure is void because it is tried again. The files are removed when the manifest is written. An incomplete last line
is dropped, and its frame is made again. A journal without a finished frame may be restarted with other options.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

from data_prep.report import Failure
from pc_ssl.data.cache import FrameEntry
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import is_at

JOURNALS = "unfinished-*-of-*.jsonl"
LOCK = "finishing.lock"
T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Every `count`-th frame, starting with the `index`-th, counted from 1. Shards may run in parallel.

    Raises:
        UsageError: index is not in 1..count.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(f"shard: {self.index}/{self.count} is not I/N with I from 1 to N")

    @staticmethod
    def parse(text: str) -> Shard:
        """`2/8` -> Shard(2, 8)."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None:
            raise UsageError(f"shard: {text!r} is not I/N with I from 1 to N, such as 2/8")
        return Shard(int(match[1]), int(match[2]))

    def of(self, items: Sequence[T]) -> Sequence[T]:
        return items[self.index - 1 :: self.count]


WHOLE = Shard()


@dataclass
class Record:
    """Content of journals: finished frames, and failed frames that are not being tried again."""

    options: Mapping[str, Any] | None = None
    entries: dict[str, FrameEntry] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)

    def is_void(self, options: Mapping[str, Any]) -> bool:
        """Whether it is of other options and no frame was finished: nothing is lost with it."""
        return not self.entries and self.options is not None and self.options != options

    def take(self, line: Mapping[str, Any]) -> None:
        """Add one line.

        Raises:
            KeyError, TypeError, ValueError: it is not a line of a journal.
        """
        [(kind, value)] = line.items()
        if self.options is None:
            self.options = dict(line["options"])
        elif kind == "frame":
            entry = FrameEntry(**value)
            self.entries[entry.token] = entry
            self.failures.pop(entry.token, None)
        elif kind == "failure":
            failure = Failure(**value)
            self.failures[failure.token] = failure
            self.entries.pop(failure.token, None)
            self.again.discard(failure.token)
        else:
            token = line["again"]
            self.again.add(token)
            self.failures.pop(token, None)


class Journal:
    """Opens and locks a shard's journal: one process works on a shard of a cache at a time.

    Args:
        folder: the cache; created if it does not exist.
        options: of this preparation.
        shard: shard of the journal.

    Raises:
        UserError: another process works on this shard, or prepares this cache with another number of shards; or the
            folder cannot be written.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any], shard: Shard = WHOLE) -> None:
        self.path = folder / f"unfinished-{shard.index}-of-{shard.count}.jsonl"
        self.options = json.loads(json.dumps(dict(options)))  # as read from a journal
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error
        try:
            if not _lock(self._file):
                raise UserError(f"{folder}: another pc-ssl prepare is writing this cache")
            for other in sorted(folder.glob(JOURNALS)):
                if not other.name.endswith(f"-of-{shard.count}.jsonl") and _is_locked(other):
                    raise UserError(f"{folder}: another pc-ssl prepare is writing this cache ({other.name})")
            self._file.seek(0)
            record, whole = _parse(self._file.read())
            void = record.is_void(self.options)
            self._file.truncate(0 if void else whole)
            if void or record.options is None:
                self._append({"options": self.options})
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, result: FrameEntry | Failure) -> None:
        """Record a finished frame, whose file is on the disk, or a failed one.

        Raises:
            UserError: the journal cannot be written.
        """
        self._append({"failure" if isinstance(result, Failure) else "frame": asdict(result)})

    def add_again(self, token: str) -> None:
        """Record that a failed frame is tried again."""
        self._append({"again": token})

    def _append(self, value: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error


def read_journals(folder: Path) -> dict[Path, Record]:
    """The content of each journal in `folder`."""
    records = {}
    for path in sorted(folder.glob(JOURNALS)):
        with contextlib.suppress(FileNotFoundError):  # another shard completed the cache meanwhile
            records[path] = _parse(path.read_bytes())[0]
    return records


@contextlib.contextmanager
def finishing(folder: Path) -> Iterator[None]:
    """Lock of a folder's completion; other processes wait."""
    path = folder / LOCK
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not is_at(path, file):
                continue  # the previous holder removed the lock file
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _lock(file: BinaryIO | Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return not _lock(file)
    except FileNotFoundError:
        return False


def _parse(content: bytes) -> tuple[Record, int]:
    """The content of a journal, and the length of its complete lines in bytes."""
    record, whole = Record(), 0
    for line in content.splitlines(keepends=True):
        try:
            value = json.loads(line)
            if not line.endswith(b"\n"):
                break
            record.take(value)
        except (AttributeError, KeyError, TypeError, ValueError):
            break
        whole += len(line)
    return record, whole
