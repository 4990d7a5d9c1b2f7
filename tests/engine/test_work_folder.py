import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import finetune, probe
from pc_ssl.engine.weights import write_tensors
from pc_ssl.engine.work_folder import LOCK, command_of, work_folder
from pc_ssl.errors import UserError

SEGMENTATION = Path(__file__).parents[2] / "configs" / "smoke" / "segmentation.py"
HOLD = """
import sys
from pathlib import Path
from pc_ssl.engine.work_folder import work_folder
with work_folder(Path(sys.argv[1]), sys.argv[2]):
    print("inside", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that runs `pretrain` in tmp_path / "run" until its standard input closes."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run"), "pretrain"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    yield process
    process.kill()
    process.communicate()


def enter(path: Path, command: str = "pretrain") -> None:
    with work_folder(path, command):
        pass


def test_a_second_process_is_refused_and_learns_who_runs(other: subprocess.Popen, tmp_path: Path) -> None:
    before = (tmp_path / "run" / LOCK).read_bytes()
    with pytest.raises(UserError) as caught:
        enter(tmp_path / "run")
    assert str(other.pid) in str(caught.value)
    assert "pc-ssl pretrain" in str(caught.value)
    assert os.uname().nodename in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run" / LOCK).read_bytes() == before
    other.communicate("")
    enter(tmp_path / "run")


def test_a_kill_releases_the_folder(other: subprocess.Popen, tmp_path: Path) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "run" / LOCK).exists()
    enter(tmp_path / "run")


def test_a_kill_releases_the_folder_though_a_forked_loader_process_lives_on(tmp_path: Path) -> None:
    forked = HOLD.replace('print("inside"', 'os.fork() and print("inside"')
    command = [sys.executable, "-c", f"import os{forked}", str(tmp_path / "run"), "pretrain"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    limit = time.monotonic() + 10  # for the child to begin; it then waits for its standard input
    while True:
        try:
            enter(tmp_path / "run")
            break
        except UserError:
            assert time.monotonic() < limit
            time.sleep(0.02)
    process.communicate()


def test_nothing_is_left_of_a_run_that_wrote_nothing(tmp_path: Path) -> None:
    enter(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").mkdir()
    enter(tmp_path / "old")
    assert list((tmp_path / "old").iterdir()) == []


def test_a_lock_file_that_is_removed_while_waiting_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking the file, the run before removes it and a third process makes a new one."""
    import fcntl

    path, original, calls = tmp_path / LOCK, fcntl.flock, []

    def flock(file: object, flags: int) -> None:
        calls.append(flags)
        if len(calls) == 1:
            path.unlink()
            path.touch()
        original(file, flags)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", flock)
    with work_folder(tmp_path, "probe"):
        assert len(calls) == 2
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("file", "content", "command"),
    [
        ("run.json", "{}", "pretrain"),
        ("train/run.json", "{}", "finetune"),
        ("records.jsonl", "", "compare"),
        ("result.json", '{"settings": {"command": "evaluate"}}', "evaluate"),
        ("output.txt", "", None),
    ],
)
def test_the_command_of_a_folder_is_seen_from_its_files(
    tmp_path: Path, file: str, content: str, command: str | None
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    assert command_of(tmp_path) == command


@pytest.mark.parametrize(
    ("metadata", "command"),
    [({"method": "PRC"}, "pretrain"), ({"command": "probe"}, "probe"), ({}, "another program")],
)
def test_weights_alone_say_what_left_them(tmp_path: Path, metadata: dict[str, str], command: str) -> None:
    write_tensors(tmp_path / "weights.safetensors", {"a": torch.zeros(1)}, metadata)
    assert command_of(tmp_path) == command


def test_a_run_of_another_command_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    write_tensors(tmp_path / "weights.safetensors", {"a": torch.zeros(1)}, {"method": "PRC"})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="pc-ssl pretrain; finetune"):
        enter(tmp_path, "finetune")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    enter(tmp_path, "pretrain")


@pytest.mark.parametrize("run", [finetune, probe])
def test_no_downstream_run_replaces_pretrained_weights(
    run: Callable[..., Any], street_cache: Cache, tmp_path: Path
) -> None:
    write_tensors(tmp_path / "weights.safetensors", {"a": torch.zeros(1)}, {"method": "PRC"})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="pc-ssl pretrain"):
        run(load_config(SEGMENTATION), street_cache, tmp_path, device="cpu")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: --work-dir is a file, expected a folder"):
        enter(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)"):
        enter(tmp_path / "file" / "below")
