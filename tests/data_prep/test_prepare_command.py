"""Output and exit codes of `pc-ssl prepare nuscenes` and `pc-ssl verify`."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.nuscenes_index import INDEX
from pc_ssl import cli
from pc_ssl.data import Cache
from pc_ssl.evaluation.regions import object_recall
from pc_ssl.geometry import points_in_boxes

VERSION = "v1.0-mini"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """command("verify", path) -> exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pc-ssl", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            cli.main()
        out, err = capsys.readouterr()
        return int(exit.value.code or 0), out, err

    return run


def prepare(command: Command, root: Path, out: Path, *more: object) -> tuple[int, str, str]:
    return command("prepare", "nuscenes", "--root", root, "--version", VERSION, "--out", out, *more)


def error_line(err: str) -> str:
    """The one error line of standard error; there is no traceback."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]


def test_prepare_then_verify(command: Command, pristine_root: Path, tmp_path: Path) -> None:
    code, out, _ = prepare(command, pristine_root, tmp_path / "cache")
    assert (code, "6 frames prepared" in out) == (0, True)
    code, out, _ = command("verify", tmp_path / "cache")
    assert (code, "6 frames" in out and "all sound" in out) == (0, True)


def test_later_runs_start_from_the_index_of_the_tables(command: Command, root: Path, tmp_path: Path) -> None:
    assert prepare(command, root, tmp_path / "cache", "--shard", "1/2")[0] == 0
    index = tmp_path / "cache" / INDEX
    written = index.stat().st_mtime_ns
    for path in (root / VERSION).glob("*.json"):  # same size and time: reading the tables fails
        state = path.stat()
        path.write_bytes(b" " * state.st_size)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert prepare(command, root, tmp_path / "cache", "--shard", "2/2")[0] == 0
    assert prepare(command, root, tmp_path / "cache")[0] == 0
    assert prepare(command, root, tmp_path / "cache", "--add-regions", "random_boxes")[0] == 0
    code, _, error = prepare(command, root, tmp_path / "cache")
    assert code == 1
    assert "--regions dbscan,random_boxes" in error
    assert prepare(command, root, tmp_path / "cache", "--regions", "dbscan,random_boxes")[0] == 0
    assert command("verify", tmp_path / "cache")[0] == 0
    assert index.stat().st_mtime_ns == written


def test_a_dry_run_writes_nothing(command: Command, pristine_root: Path, tmp_path: Path) -> None:
    code, out, _ = prepare(command, pristine_root, tmp_path / "cache", "--dry-run")
    assert code == 0
    assert re.match(r"6 frames, about \d+s with 1 worker", out)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_adding_reports_the_cost(command: Command, pristine_root: Path, tmp_path: Path) -> None:
    prepare(command, pristine_root, tmp_path / "cache")
    code, out, _ = prepare(command, pristine_root, tmp_path / "cache", "--add-regions", "dbscan3d", "--dry-run")
    assert code == 0
    assert re.match(r"6 frames, about \d+s with 1 worker", out)
    code, out, _ = command("verify", tmp_path / "cache")
    assert (code, "all sound" in out) == (0, True)


def first(root: Path, folder: str) -> Path:
    return sorted((root / folder).iterdir())[0]


def truncate_sweep(root: Path) -> None:
    path = first(root, "samples/LIDAR_TOP")
    path.write_bytes(path.read_bytes()[:-5])


def put_nan(root: Path) -> None:
    points = np.fromfile(first(root, "samples/LIDAR_TOP"), np.float32)
    points[5 * 7 + 3] = np.nan
    points.tofile(first(root, "samples/LIDAR_TOP"))


def drop_field(root: Path) -> None:
    path = root / VERSION / "ego_pose.json"
    records = json.loads(path.read_text())
    del records[2]["rotation"]
    path.write_text(json.dumps(records))


@pytest.mark.parametrize(
    ("damage", "options", "message", "code"),
    [
        (lambda root: (root / VERSION / "sample.json").unlink(), (), r"/sample\.json: the table is missing", 1),
        (drop_field, (), r"/ego_pose\.json: field 'rotation' of record 2 is missing, expected 4 numbers", 1),
        (truncate_sweep, ("--strict",), r"\.pcd\.bin: \d+ bytes are not a whole number of points", 1),
        (put_nan, ("--strict",), r"\.pcd\.bin: intensity of point 7 is nan, expected 0 to 255", 1),
        (lambda root: first(root, "samples/LIDAR_TOP").unlink(), ("--strict",), r"\.pcd\.bin: no such file", 1),
        (None, ("--split", "trian"), r"split: the data set has no 'trian'; known: train, ", 2),
        (None, ("--split", "test"), r"/scene\.json: no scene of split 'test'", 1),
        (None, ("--regions", "dbscn"), r"regions: unknown generator 'dbscn'; known: dbscan, ", 2),
        (None, ("--sweeps", "11"), r"sweeps: 11 is not in 1\.\.10", 2),
    ],
)
def test_bad_input_is_one_line(
    command: Command,
    root: Path,
    tmp_path: Path,
    damage: Callable[[Path], Any] | None,
    options: tuple[str, ...],
    message: str,
    code: int,
) -> None:
    if damage is not None:
        damage(root)
    found, _, err = prepare(command, root, tmp_path / "cache", *options)
    assert re.search(message, error_line(err))
    assert found == code
    assert not (tmp_path / "cache" / "manifest.json").exists()


def test_failed_frames_give_exit_code_3(command: Command, root: Path, tmp_path: Path) -> None:
    truncate_sweep(root)
    code, out, err = prepare(command, root, tmp_path / "cache")
    assert code == 3
    assert "1 frames failed" in out
    assert "not a whole number of points" in err
    assert command("verify", tmp_path / "cache")[0] == 0


def test_a_full_disk_is_one_line(
    command: Command, pristine_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = prepare(command, pristine_root, tmp_path / "cache")
    assert (code, "no space left on the disk" in error_line(err)) == (1, True)


def test_a_cache_of_another_schema_is_rejected(command: Command, pristine_root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepare(command, pristine_root, cache)
    content = json.loads((cache / "manifest.json").read_text())
    (cache / "manifest.json").write_text(json.dumps(content | {"schema_version": 99}))
    for code, _, err in (prepare(command, pristine_root, cache), command("verify", cache)):
        assert re.search(r"/manifest\.json: schema_version is 99, but this pc_ssl reads \d+", error_line(err))
        assert code == 1


def test_verify_reports_damaged_files_and_reasons(command: Command, pristine_root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepare(command, pristine_root, cache)
    cut, flipped, lost = sorted(cache.glob("frames/*/*"))[:3]
    cut.write_bytes(cut.read_bytes()[:-1])
    content = bytearray(flipped.read_bytes())
    content[-1] ^= 1
    flipped.write_bytes(content)
    lost.unlink()
    code, out, _ = command("verify", cache)
    assert code == 1
    assert re.search(rf"{cut}: has \d+ bytes, but \d+ were written", out)
    assert f"{flipped}: has another checksum" in out
    assert f"{lost}: is missing" in out
    assert "3 of 6 frames are bad" in out


def test_the_real_keyframe_is_prepared_and_its_objects_are_found(
    command: Command, real_root: Path, tmp_path: Path
) -> None:
    """CALICO's clusters match 7 of 14 annotated objects; its size filter then drops four of them (size, shape)."""
    code, _, err = prepare(command, real_root, tmp_path / "cache", "--regions", "dbscan,dbscan3d")
    assert code == 0
    assert err.count("not in this data set: sweeps") == 1
    assert command("verify", tmp_path / "cache")[0] == 0
    frame = Cache(tmp_path / "cache")[0]
    xyz, box = frame["points"][:, :3].numpy(), frame["box"].numpy()
    found = {
        name: object_recall(points_in_boxes(xyz, box), frame[f"region/{name}"].numpy())
        for name in ("dbscan", "dbscan3d")
    }
    assert (found["dbscan"].found, found["dbscan"].objects) == (3, 14)
    assert (found["dbscan3d"].found, found["dbscan3d"].objects) == (9, 14)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nuscene", "--version", VERSION), "dataset: unknown 'nuscene'; did you mean 'nuscenes'? known: nuscenes, "),
        (("nuscenes",), "version: required for nuscenes"),
        (("kitti", "--sweeps", 2), "sweeps: not an option of kitti; data sets with it: nuscenes, folder"),
        (
            ("nuscenes", "--version", VERSION, "--frame-step", 2),
            "frame-step: not an option of nuscenes; data sets with",
        ),
        (("folder", "--no-images"), "no-images: not an option of folder; data sets with"),
        (
            ("nuscenes", "--version", VERSION, "--set", "regions.dbscan.esp=1"),
            "set: 'regions.dbscan.esp': unknown 'esp'; did you mean 'eps'? known: eps, ",
        ),
    ],
)
def test_options_of_other_data_sets_and_unknown_ones_are_rejected(
    command: Command, pristine_root: Path, tmp_path: Path, words: tuple, message: str
) -> None:
    code, _, err = command("prepare", *words, "--root", pristine_root, "--out", tmp_path / "cache")
    assert code == 2
    assert error_line(err).removeprefix("error: ").startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_settings_of_stages_are_recorded_in_the_manifest(command: Command, pristine_root: Path, tmp_path: Path) -> None:
    settings = ("--set", "regions.dbscan.eps=0.5", "--set", "ground.thickness=0.3")
    assert prepare(command, pristine_root, tmp_path / "cache", *settings)[0] == 0
    options = json.loads((tmp_path / "cache" / "manifest.json").read_text())["options"]
    assert (options["regions"]["dbscan"]["eps"], options["ground"]["thickness"]) == (0.5, 0.3)
    code, _, err = prepare(command, pristine_root, tmp_path / "cache")
    assert code == 1
    assert "regions.dbscan.eps is 0.5, requested 0.75" in error_line(err)
