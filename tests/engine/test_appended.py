import resource
import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pc_ssl.engine.appended import AppendedFile, EventFile
from pc_ssl.errors import UserError

LIMIT = 1000  # bytes


def filled(path: Path, report: Connection) -> None:
    """Append to a file that may not grow beyond LIMIT, as to one on a full disk, and tell the error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    file = AppendedFile(path)
    try:
        for _ in range(LIMIT):
            file.write(b"0123456\n")
    except UserError as error:
        report.send(str(error))
    file.close()


def test_a_file_that_cannot_grow_is_one_line(tmp_path: Path) -> None:
    receiver, sender = get_context("fork").Pipe(duplex=False)
    child = get_context("fork").Process(target=filled, args=(tmp_path / "log.jsonl", sender))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert receiver.recv() == f"{tmp_path}/log.jsonl: cannot be written (File too large)"
    assert (tmp_path / "log.jsonl").read_bytes() == b"0123456\n" * (LIMIT // 8)


def test_what_was_there_is_kept(tmp_path: Path) -> None:
    for text in (b"a\n", b"b\n"):
        file = AppendedFile(tmp_path / "new" / "log")
        file.write(text)
        file.sync()
        file.close()
    assert (tmp_path / "new" / "log").read_bytes() == b"a\nb\n"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/log: cannot be written \(File exists\)"):
        AppendedFile(tmp_path / "file" / "log")


def test_tensorboard_reads_what_was_added_and_forgets_what_is_done_again(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first_step, value in ((1, 0.5), (3, 0.25)):
        file = EventFile(tmp_path, first_step)
        for step in range(first_step, first_step + 4):
            file.add(step, {"train/loss": value, "train/lr": 2 * value})
        file.close()
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("train/loss")] == [
        (1, 0.5), (2, 0.5), (3, 0.25), (4, 0.25), (5, 0.25), (6, 0.25)
    ]  # fmt: skip
    assert [event.value for event in board.Scalars("train/lr")] == [1, 1, 0.5, 0.5, 0.5, 0.5]
