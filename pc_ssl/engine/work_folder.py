"""Exclusive use of a work folder by one run of one command."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pc_ssl.engine.distributed import Process
from pc_ssl.engine.weights import read_metadata
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import RESULT, WEIGHTS
from pc_ssl.files import is_at, read_json, write_error

LOCK = "run.lock"  # names the running process, and is locked while it lives
UNKNOWN = "another program"
MARKS = {  # files that a run writes early -> its command
    "run.json": "pretrain",
    "train/run.json": "finetune",
    "compare.json": "compare",
    "records.jsonl": "compare",
}


@contextlib.contextmanager
def work_folder(path: Path, command: str, process: Process | None = None) -> Iterator[None]:
    """Create `path` if needed, and lock it. The kernel releases the lock when this process ends.

    Args:
        path: the folder.
        command: what runs in it: "pretrain", "probe", "finetune", "evaluate" or "compare".
        process: the first of several training processes holds the lock; None: a single process.

    Raises:
        UserError: `path` is a file, cannot be written, holds a run of another command, or another process runs in it.
    """
    if process is not None and not process.is_first:
        yield
        return
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: --work-dir is a file, expected a folder or a new name")
    _check_command(path, command)
    is_new = not path.exists()
    lock = _acquire(path / LOCK, command)
    try:
        _check_command(path, command)  # again: another run may have ended since
        yield
    finally:
        (path / LOCK).unlink(missing_ok=True)
        lock.close()
        if is_new:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()


def command_of(path: Path) -> str | None:
    """The command whose run a folder holds, from its files; None: no run."""
    if (path / RESULT).exists():
        content = read_json(path / RESULT)
        settings = content.get("settings") if isinstance(content, dict) else None
        return str(settings.get("command", UNKNOWN)) if isinstance(settings, dict) else UNKNOWN
    for name, command in MARKS.items():
        if (path / name).exists():
            return command
    if (path / WEIGHTS).exists():  # of a run that was killed between weights and result, or copied here
        metadata = read_metadata(path / WEIGHTS)
        return "pretrain" if "method" in metadata else metadata.get("command", UNKNOWN)
    return None


def _check_command(path: Path, command: str) -> None:
    """Check that the folder is empty or holds a run of `command`.

    Raises:
        UserError: it holds another run.
    """
    held = command_of(path)
    if held not in (None, command):
        raise UserError(
            f"{path}: holds files of {held if held == UNKNOWN else f'pc-ssl {held}'}; {command} would mix its files "
            "with these: choose another --work-dir"
        )


def _acquire(path: Path, command: str) -> BinaryIO:
    """The locked file, which names this process."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise write_error(path, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(file)
            file.close()
            raise UserError(
                f"{path.parent}: {owner} runs here; wait for it, end it, or choose another --work-dir"
            ) from None
        except OSError as error:  # a network file system without lock support
            print(
                f"{path.parent}: cannot be locked ({error.strerror}): make sure that no other run writes to it",
                file=sys.stderr,
            )
        if is_at(path, file):
            break
        file.close()  # the previous run removed the file between our opening and locking it
    # A forked loader process shares the lock, and would keep it for a while after this process is killed.
    os.register_at_fork(after_in_child=file.close)
    file.truncate(0)
    file.write(json.dumps({"command": command, "pid": os.getpid(), "host": socket.gethostname()}).encode())
    file.flush()
    return file


def _owner(file: BinaryIO) -> str:
    try:
        file.seek(0)
        content = json.loads(file.read())
        return f"pc-ssl {content['command']}, process {content['pid']} on {content['host']},"
    except (ValueError, KeyError, TypeError):  # it has just taken the lock
        return "another process"
