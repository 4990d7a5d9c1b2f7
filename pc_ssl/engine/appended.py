"""Append-only files of a run; every record is passed to the operating system when the call returns."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pc_ssl.files import write_error


class AppendedFile:
    """A file that records are appended to; created if needed, with its parent folders.

    Raises:
        UserError: the file cannot be written; raised by the methods too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise write_error(path, error) from error

    def write(self, content: bytes) -> None:
        """Append `content`."""
        try:
            while content:  # an almost full disk accepts a part, and refuses the rest
                content = content[self._file.write(content) :]
        except OSError as error:
            raise write_error(self.path, error) from error

    def sync(self) -> None:
        """Wait until the disk holds what was written."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Close the file; nothing is buffered, so this cannot fail on a full disk."""
        self._file.close()


class EventFile:
    """A TensorBoard event file.

    torch's SummaryWriter writes in a separate thread, in which a full disk raises an error that cannot be caught.
    TensorBoard's modules take long to import; they are imported when a run first writes.

    Args:
        folder: TensorBoard's log folder, in which a new file is created.
        first_step: TensorBoard discards the entries of other files in the folder from this step on.

    Raises:
        UserError: the file cannot be written; raised by the methods too.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._file = AppendedFile(folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}")
        self._records = RecordWriter(self._file)
        self._write(0, file_version="brain.Event:2")
        self._write(first_step, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append one value for each tag."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._write(step, summary=Summary(value=values))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())
