import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pc_ssl.errors import UserError
from pc_ssl.files import inside, read_json, remove_partial_files, whole_file, write_bytes, write_json


def test_a_failed_write_leaves_the_old_file_and_no_partial_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    code = (
        "import os, signal, sys; from pathlib import Path; from pc_ssl.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert read_json(path) == {"old": 1}
    assert len(list(tmp_path.iterdir())) == 2
    remove_partial_files(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.bin: no space left") as caught:
        write_bytes(tmp_path / "a.bin", b"1")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("content", ["", "{", "\x00"])
def test_broken_json_names_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"broken\.json: not readable as JSON"):
        read_json(path)


@pytest.mark.parametrize("relative", ["../secret", "/etc/passwd", "a/../../secret"])
def test_a_path_from_a_data_file_cannot_leave_the_root(tmp_path: Path, relative: str) -> None:
    with pytest.raises(UserError, match="leaves the folder"):
        inside(tmp_path, relative)


def test_links_that_the_user_placed_are_followed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "file").write_text("there")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "disk")
    assert inside(tmp_path / "root", "link/file").read_text() == "there"
    assert inside(tmp_path / "root", "a/b") == tmp_path / "root" / "a" / "b"
    with pytest.raises(UserError, match="leaves the folder"):  # the parent of where the link leads
        inside(tmp_path / "root", "link/../secret")
