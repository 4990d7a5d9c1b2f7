import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.cache_folder import CacheFolder
from data_prep.jobs import Executor
from data_prep.journal import LOCK, WHOLE, Journal, Shard
from data_prep.nuscenes import NuScenesReader
from data_prep.nuscenes_index import INDEX
from data_prep.options import choose_stages
from data_prep.pipeline import PrepareReport, estimate, prepare
from data_prep.stages import Stages
from pc_ssl.data.cache import Cache, FrameEntry
from pc_ssl.data.verify import verify
from pc_ssl.errors import UsageError, UserError

VERSION = "v1.0-mini"
STAGES = choose_stages(regions=("dbscan", "dbscan3d"))


def run(
    root: Path,
    out: Path,
    stages: Stages = STAGES,
    sweeps: int = 3,
    shard: Shard = WHOLE,
    strict: bool = False,
    **where: Any,
) -> PrepareReport:
    return prepare(
        NuScenesReader(root, VERSION, sweeps), stages, CacheFolder(out, shard), Executor(**where), strict=strict
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; without the index of tables, which also depends on their time of modification."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != INDEX)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def expected(pristine_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The cache of an uninterrupted run."""
    out = tmp_path_factory.mktemp("undisturbed") / "cache"
    run(pristine_root, out)
    return contents(out)


def spoil_sweep(root: Path, index: int = 2) -> Path:
    path = sorted((root / "samples" / "LIDAR_TOP").iterdir())[index]
    path.write_bytes(path.read_bytes()[:-1])
    return path


def test_a_cache_holds_the_requested_tensors(pristine_root: Path, tmp_path: Path) -> None:
    report = run(pristine_root, tmp_path / "cache")
    assert (report.prepared, report.kept, report.failures, report.exit_code) == (6, 0, (), 0)
    cache = Cache(tmp_path / "cache")
    assert len(cache) == 6
    assert cache.indices("mini_val") == [3, 4, 5]
    assert cache.manifest.splits["train"] == ["scene-0061"]
    assert "test" not in cache.manifest.splits
    assert cache.columns == ("x", "y", "z", "intensity", "time")
    keys = {
        "points",
        "keyframe",
        "ground",
        "region/dbscan",
        "region/dbscan3d",
        "label",
        "box",
        "box_class",
        "box_attribute",
        "box_points",
        "box_global",
    }
    keys |= {"ego_pose", "global_from_lidar"}
    kinds = ("image", "intrinsic", "camera_from_lidar", "pixel", "point")
    keys |= {f"{kind}/{camera}" for kind in kinds for camera in ("CAM_FRONT", "CAM_BACK")}
    assert set(cache[5]) == keys
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"manifest.json", "frames"}
    assert verify(tmp_path / "cache").problems == ()


def test_regions_are_in_the_key_sweep(pristine_root: Path, tmp_path: Path) -> None:
    run(pristine_root, tmp_path / "one", sweeps=1)
    run(pristine_root, tmp_path / "three", sweeps=3)
    one, three = Cache(tmp_path / "one")[5], Cache(tmp_path / "three")[5]
    key = len(one["points"])
    np.testing.assert_array_equal(three["points"][:key, :4], one["points"])
    assert three["points"][key:, 4].min() > 0
    assert three["keyframe"].tolist() == [True] * key + [False] * (len(three["points"]) - key)
    assert (three["region/dbscan3d"][:key] >= 0).sum() > 100
    assert (three["region/dbscan3d"][key:] == -1).all()
    assert three["ground"][key:].sum() > 100


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_change_the_bytes(
    pristine_root: Path, tmp_path: Path, expected: dict[str, bytes], workers: int
) -> None:
    run(pristine_root, tmp_path / "cache", workers=workers)
    assert contents(tmp_path / "cache") == expected


def test_a_finished_cache_is_not_changed(
    root: Path, tmp_path: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(root, tmp_path / "cache")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    shutil.rmtree(root / "samples")  # nothing is read again
    report = run(root, tmp_path / "cache")
    assert "already complete" in report.summary()
    assert (report.prepared, report.kept, report.exit_code) == (0, 6, 0)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert contents(tmp_path / "cache") == expected


@pytest.mark.parametrize("damage", ["cut", "flip", "delete"])
def test_a_damaged_frame_is_written_again(
    pristine_root: Path, tmp_path: Path, expected: dict[str, bytes], damage: str
) -> None:
    out = tmp_path / "cache"
    run(pristine_root, out)
    victim = sorted(out.glob("frames/*/*"))[3]
    content = bytearray(victim.read_bytes())
    content[-10] ^= 4
    victim.unlink()
    if damage != "delete":
        victim.write_bytes(content if damage == "flip" else content[:100])
    report = run(pristine_root, out)
    assert (report.prepared, report.kept) == (1, 5)
    assert contents(out) == expected


@pytest.mark.parametrize(
    ("options", "sweeps", "message"),
    [
        (choose_stages(regions=("dbscan",)), 3, r"regions\.dbscan3d is present, requested absent"),
        (STAGES, 2, "sweeps is 3, requested 2"),
        (choose_stages(("dbscan", "dbscan3d"), split="mini_val"), 3, "split is None, requested mini_val"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_options_are_rejected_with_the_difference(
    pristine_root: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    options: Stages,
    sweeps: int,
    message: str,
    finished: bool,
) -> None:
    out = tmp_path / "cache"
    if finished:
        run(pristine_root, out)
    else:
        manifest = json.loads(expected["manifest.json"])
        with Journal(out, manifest["options"]) as journal:
            journal.add(FrameEntry(**manifest["frames"][0]))
    before = contents(out)
    for attempt in (
        lambda: run(pristine_root, out, options, sweeps),
        lambda: dry_run(pristine_root, out, options, sweeps),
    ):
        with pytest.raises(UserError, match=f"was prepared with other options .*{message}") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert contents(out) == before


def dry_run(root: Path, out: Path, stages: Stages = STAGES, sweeps: int = 3) -> object:
    return estimate(NuScenesReader(root, VERSION, sweeps), stages, CacheFolder(out))


def test_a_folder_with_other_content_is_rejected(pristine_root: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("...")
    for out, message in (
        ("thesis", "neither empty nor a cache"),
        ("thesis/chapter1.tex", "is a file, expected a folder"),
    ):
        with pytest.raises(UserError, match=message):
            run(pristine_root, tmp_path / out)
    assert contents(tmp_path) == {"thesis/chapter1.tex": b"..."}


def test_a_failing_frame_is_reported_and_the_run_goes_on(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], expected: dict[str, bytes]
) -> None:
    out, path = tmp_path / "cache", spoil_sweep(root)
    report = run(root, out)
    assert (report.prepared, report.exit_code) == (5, 3)
    failed = json.loads((out / "failed.json").read_text())
    assert [(f["token"], f["scene"]) for f in failed] == [("sample0002", "scene-0061")]
    assert failed[0]["reason"].startswith(f"{path}: ")
    assert f"frame sample0002 of scene-0061 failed: {path}: " in capsys.readouterr().err
    assert "failed" in report.summary()
    assert [entry.token for entry in Cache(out).frames] == [f"sample000{i}" for i in (0, 1, 3, 4, 5)]
    assert verify(out).problems == ()


def test_failed_frames_are_tried_again(
    pristine_root: Path, root: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out, path = tmp_path / "cache", spoil_sweep(root)
    assert run(root, out).exit_code == 3
    assert run(root, out).exit_code == 3
    shutil.copy(pristine_root / path.relative_to(root), path)
    report = run(root, out)
    assert (report.prepared, report.kept, report.exit_code) == (1, 5, 0)
    assert contents(out) == expected


def test_a_failing_frame_stops_a_strict_run(root: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "cache", spoil_sweep(root)
    with pytest.raises(UserError, match=f"frame sample0002 of scene-0061: {path}: ") as caught:
        run(root, out, strict=True)
    assert caught.value.exit_code == 1
    with pytest.raises(UserError, match="not a complete cache"):
        Cache(out)


def test_a_table_error_of_one_frame_fails_only_this_frame(root: Path, tmp_path: Path, edit_table: Callable) -> None:
    edit_table("sample_data", lambda records: records[-3].update(is_key_frame=False))  # the last LiDAR recording
    report = run(root, tmp_path / "cache")
    assert [failure.reason.split(": ")[1] for failure in report.failures] == [
        "sample 'sample0005' has no keyframe of LIDAR_TOP"
    ]


def test_an_unexpected_exception_fails_only_one_frame(
    pristine_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, bytes]
) -> None:
    def wrong_once(*arguments: object) -> object:
        monkeypatch.undo()
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(Stages, "__call__", wrong_once)
    report = run(pristine_root, tmp_path / "cache")
    assert [failure.reason for failure in report.failures] == ["ZeroDivisionError: division by zero"]
    assert run(pristine_root, tmp_path / "cache").exit_code == 0
    assert contents(tmp_path / "cache") == expected


def test_no_frame_at_all_is_an_error(root: Path, tmp_path: Path) -> None:
    for path in (root / "samples" / "LIDAR_TOP").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"no frame could be prepared; the first reason: .*\.pcd\.bin: no such file"):
        run(root, tmp_path / "cache")
    with pytest.raises(UserError, match="not a complete cache"):
        Cache(tmp_path / "cache")


def test_a_full_disk_is_one_line_and_loses_nothing(
    pristine_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, bytes]
) -> None:
    written: list[Path] = []
    write_bytes = Path.write_bytes

    def full_after_two(path: Path, content: bytes) -> int:
        if len(written) == 2:
            write_bytes(path, content[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_after_two)
    with pytest.raises(UserError, match=r"\.safetensors: no space left on the disk") as caught:
        run(pristine_root, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert run(pristine_root, tmp_path / "cache").kept == 2
    assert contents(tmp_path / "cache") == expected


def test_two_runs_on_one_cache_do_not_mix(pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    options = json.loads(expected["manifest.json"])["options"]
    for shard in (Shard(1, 1), Shard(2, 3)):
        with (
            Journal(tmp_path / "cache", options, shard),
            pytest.raises(UserError, match="another pc-ssl prepare is writing this cache"),
        ):
            run(pristine_root, tmp_path / "cache")
    run(pristine_root, tmp_path / "cache")
    assert contents(tmp_path / "cache") == expected


def test_absent_parts_are_named_once(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / VERSION / "lidarseg.json").unlink()
    run(root, tmp_path / "cache")
    assert capsys.readouterr().err.count("lidarseg (no point labels)") == 1
    assert "label" not in Cache(tmp_path / "cache")[0]


def test_only_the_requested_split_is_prepared(pristine_root: Path, tmp_path: Path) -> None:
    run(pristine_root, tmp_path / "cache", choose_stages(split="mini_val"))
    assert {entry.scene for entry in Cache(tmp_path / "cache").frames} == {"scene-0103"}


def test_wrong_options() -> None:
    with pytest.raises(UsageError, match=r"regions: unknown generator 'dbscn'; known: dbscan, dbscan3d"):
        choose_stages(regions=("dbscn",))
    with pytest.raises(UsageError, match="'dbscan' is listed twice"):
        choose_stages(regions=("dbscan", "dbscan"))


def test_an_unknown_split_is_reported_first(pristine_root: Path, tmp_path: Path) -> None:
    run(pristine_root, tmp_path / "cache")
    for attempt in (run, dry_run):
        with pytest.raises(UsageError, match=r"split: the data set has no 'trian'; known: train, .*, verifying$"):
            attempt(pristine_root, tmp_path / "cache", choose_stages(split="trian"))


def test_workers_must_be_positive(pristine_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="workers: 0 is not positive"):
        run(pristine_root, tmp_path / "cache", workers=0)


def test_an_estimate_touches_nothing(pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    found = estimate(
        NuScenesReader(pristine_root, VERSION, 3), STAGES, CacheFolder(tmp_path / "new" / "cache"), Executor(2)
    )
    assert list(tmp_path.iterdir()) == []
    assert (found.frames, found.tried, found.workers) == (6, 3, 2)
    frames = sum(len(content) for name, content in expected.items() if name.startswith("frames/"))
    assert found.bytes == pytest.approx(frames, rel=0.2)
    assert 0 < found.seconds < 10
    assert found.free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.01)
    assert "6 frames" in found.summary()


def test_an_estimate_tries_other_frames_than_a_broken_one(root: Path, tmp_path: Path) -> None:
    spoil_sweep(root, 0)
    assert dry_run(root, tmp_path / "cache").frames == 6  # type: ignore[attr-defined]
    for index in range(1, 6):
        spoil_sweep(root, index)
    with pytest.raises(UserError, match=r"\.pcd\.bin: 15799 bytes .*; nothing was prepared"):
        dry_run(root, tmp_path / "cache")


# Interruptions. `die_at` ends a forked process without clean-up before or after its n-th rename: every point at which
# a file becomes visible on the disk.


def assert_no_partial_file_is_valid(out: Path, expected: dict[str, bytes]) -> None:
    """A cache that opens is complete, and every file with a final name has its final bytes."""
    for name, content in contents(out).items():
        if not name.endswith(".partial") and not name.startswith("unfinished-") and name != LOCK:
            assert content == expected[name]
    if (out / "manifest.json").exists():
        assert verify(out).problems == ()
    else:
        with pytest.raises(UserError, match="not a complete cache"):
            Cache(out)


def test_a_folder_in_which_all_frames_failed_can_be_used_again_with_other_options(root: Path, tmp_path: Path) -> None:
    lidar = root / "samples" / "LIDAR_TOP"
    saved = {path: path.read_bytes() for path in lidar.iterdir()}
    for path in saved:
        path.unlink()
    out = tmp_path / "cache"
    with pytest.raises(UserError, match="no frame could be prepared"):
        run(root, out, choose_stages(("dbscan",)), sweeps=1)
    for path, content in saved.items():
        path.write_bytes(content)
    report = run(root, out, choose_stages(("dbscan3d",)), sweeps=1)
    assert report.prepared == len(saved)
    assert not (out / "failed.json").exists()
    assert verify(out).problems == ()


def test_a_run_that_stopped_before_its_first_frame_can_be_started_with_other_options(
    root: Path, tmp_path: Path
) -> None:
    first = min((root / "samples" / "LIDAR_TOP").iterdir())
    saved = first.read_bytes()
    first.unlink()
    out = tmp_path / "cache"
    with pytest.raises(UserError, match="no such file"):
        run(root, out, choose_stages(("dbscan",)), sweeps=1, strict=True)
    first.write_bytes(saved)
    assert run(root, out, choose_stages(("dbscan3d",)), sweeps=1).failures == ()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(7))  # six frames and the manifest
def test_death_at_any_rename_loses_nothing(
    pristine_root: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    step: int,
    after: bool,
    in_child: Callable[..., int],
    die_at: Callable[..., Callable[..., None]],
) -> None:
    out = tmp_path / "cache"

    def work() -> None:
        os.replace = die_at(step, after=after)  # type: ignore[assignment]
        run(pristine_root, out)

    assert in_child(work) == 9
    assert_no_partial_file_is_valid(out, expected)
    report = run(pristine_root, out)
    assert report.kept >= step - 1
    assert contents(out) == expected


@pytest.mark.parametrize("cut", [0, 1, 40, 700, 1400, -1, -20, -300])
def test_after_a_torn_journal_frames_are_made_again(
    pristine_root: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    cut: int,
    in_child: Callable[..., int],
    die_at: Callable[..., Callable[..., None]],
) -> None:
    out = tmp_path / "cache"

    def work() -> None:
        os.replace = die_at(4, after=False)  # type: ignore[assignment]
        run(pristine_root, out)

    in_child(work)
    journal = out / "unfinished-1-of-1.jsonl"
    journal.write_bytes(journal.read_bytes()[:cut])
    run(pristine_root, out)
    assert contents(out) == expected


def test_random_kills_give_the_same_bytes(
    pristine_root: Path, tmp_path: Path, expected: dict[str, bytes], in_child: Callable[..., int]
) -> None:
    rng = np.random.default_rng(0)
    begin = time.monotonic()
    in_child(lambda: run(pristine_root, tmp_path / "timed"))
    whole = time.monotonic() - begin
    out = tmp_path / "cache"
    for _ in range(10):
        in_child(lambda: run(pristine_root, out), kill_after_s=rng.uniform(0.2, 0.8) * whole)
        if out.exists():
            assert_no_partial_file_is_valid(out, expected)
        if contents(out) == expected:
            shutil.rmtree(out)
    run(pristine_root, out)
    assert contents(out) == expected


def no_child_outlives(parent: int) -> bool:
    """Whether the session of a killed process is empty some seconds later."""
    for _ in range(100):
        if subprocess.run(["ps", "--no-headers", "--sid", str(parent)], capture_output=True).stdout == b"":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_twenty_random_kills_of_the_whole_program_with_workers(
    pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    rng = np.random.default_rng(1)
    options = ["--root", str(pristine_root), "--version", "v1.0-mini", "--sweeps", "3", "--regions", "dbscan,dbscan3d"]
    command = [sys.executable, "-m", "pc_ssl.cli", "prepare", "nuscenes", *options, "--workers", "2", "--out"]
    out = tmp_path / "cache"
    begin = time.monotonic()
    subprocess.run([*command, str(tmp_path / "timed")], check=True, capture_output=True)
    whole = time.monotonic() - begin
    for _ in range(20):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*command, str(out)], start_new_session=True, **quiet)
        time.sleep(rng.uniform(0.5, 1.0) * whole)
        process.kill()
        process.wait()
        assert no_child_outlives(process.pid)
        if out.exists():
            assert_no_partial_file_is_valid(out, expected)
        if contents(out) == expected:
            shutil.rmtree(out)
    subprocess.run([*command, str(out)], check=True, capture_output=True)
    assert contents(out) == expected


# A complete cache and its data set


def add_split(root: Path, name: str, scenes: list[str]) -> None:
    path = root / VERSION / "splits.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, name: scenes}))


def test_a_complete_cache_adds_new_splits_without_making_frames(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "cache")
    add_split(root, "held_out", ["scene-0103"])
    report = run(root, tmp_path / "cache")
    assert (report.prepared, report.kept) == (0, 6)
    assert Cache(tmp_path / "cache").indices("held_out") == [3, 4, 5]
    assert not list((tmp_path / "cache").glob("unfinished-*"))


def test_a_complete_cache_adds_new_frames_and_keeps_vanished_ones(
    root: Path, edit_table: Callable[..., None], tmp_path: Path
) -> None:
    out = tmp_path / "cache"
    add_split(root, "part", ["scene-0061"])
    stages = choose_stages(split="part")
    run(root, out, stages)
    before = contents(out)
    (root / VERSION / "splits.json").unlink()
    add_split(root, "part", ["scene-0061", "scene-0103"])
    report = run(root, out, stages)
    assert (report.prepared, report.kept, report.vanished) == (3, 3, ())
    assert all(contents(out)[name] == content for name, content in before.items() if name.startswith("frames/"))
    (root / VERSION / "splits.json").unlink()
    add_split(root, "part", ["scene-0103"])
    report = run(root, out, stages)
    tokens = [entry.token for entry in Cache(out).frames]
    assert (report.prepared, len(tokens)) == (0, 6)
    assert report.vanished == tuple(tokens[3:])
    assert tokens[3] in report.summary()
    assert verify(out).problems == ()


def test_a_complete_cache_on_a_read_only_disk_is_checked(
    pristine_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cache"
    run(pristine_root, out)
    before = contents(out)
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == out and mode == os.W_OK))
    monkeypatch.setattr(Journal, "__init__", lambda *_: pytest.fail("a journal was opened"))
    assert run(pristine_root, out).summary().endswith("6 frames checked; nothing to do")
    assert contents(out) == before
    victim = out / Cache(out).frames[0].file
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"read-only.*1 of 6 frames are damaged"):
        run(pristine_root, out)


def test_a_generator_without_regions_is_reported(pristine_root: Path, tmp_path: Path) -> None:
    report = run(pristine_root, tmp_path / "cache", choose_stages(settings=["regions.dbscan.min_points=100000"]))
    assert report.without_regions == {"dbscan": 6}
    assert "dbscan: no regions in 6 of 6 frames prepared" in report.summary()
    assert "no regions" not in run(pristine_root, tmp_path / "other").summary()
