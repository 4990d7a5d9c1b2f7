"""Whole runs: reproducibility, resuming, rejected input, and errors of the command line."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_prep.simulate.nuscenes import SimulateOptions, estimate, plan_scene, simulate_nuscenes
from data_prep.simulate.root_state import STATE
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import PARTIAL_SUFFIX, read_json, write_json

TINY = SimulateOptions(scenes=3, keyframes=2, seed=11, image_size=(48, 27), beams=8, sweeps=1)
RUN = """
import sys
from pathlib import Path
from data_prep.simulate.nuscenes import SimulateOptions, simulate_nuscenes
simulate_nuscenes(Path(sys.argv[1]), SimulateOptions(3, 2, 11, (48, 27), 8, 1))
"""


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny") / "root"
    simulate_nuscenes(root, TINY)
    return root


def test_two_workers_write_the_same_bytes_as_one(tiny_root: Path, tmp_path: Path) -> None:
    simulate_nuscenes(tmp_path / "root", TINY, workers=2)
    assert digests(tmp_path / "root") == digests(tiny_root)


def test_killed_runs_end_in_the_same_bytes(tiny_root: Path, tmp_path: Path) -> None:
    root, rng = tmp_path / "root", np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", RUN, str(root)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (root / "samples").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.8))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert all(
            path.suffix == PARTIAL_SUFFIX or is_whole(path, tiny_root / path.relative_to(root)) for path in files(root)
        )
    simulate_nuscenes(root, TINY)
    assert digests(root) == digests(tiny_root)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != "simulation.json"]


def is_whole(path: Path, finished: Path) -> bool:
    return path.parent.name == ".scenes" or path.read_bytes() == finished.read_bytes()


def test_another_seed_gives_another_scene() -> None:
    other = SimulateOptions(scenes=3, keyframes=2, seed=12, image_size=(48, 27), beams=8, sweeps=1)
    assert plan_scene(TINY, 0).seed != plan_scene(other, 0).seed


def test_first_scenes_do_not_depend_on_how_many_follow() -> None:
    more = SimulateOptions(scenes=30, keyframes=2, seed=11, image_size=(48, 27), beams=8, sweeps=1)
    assert [plan_scene(TINY, k) for k in range(3)] == [plan_scene(more, k) for k in range(3)]


def test_finished_root_is_not_changed(tiny_root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_root.rglob("*")}
    report = simulate_nuscenes(tiny_root, TINY)
    assert report.simulated == 0
    assert "nothing was left to do" in report.summary()
    assert {path: path.stat().st_mtime_ns for path in tiny_root.rglob("*")} == before


def test_rows_left_by_a_run_killed_at_its_very_end_are_removed(tiny_root: Path) -> None:
    write_json(tiny_root / ".scenes" / "sim-0001.json", {})
    simulate_nuscenes(tiny_root, TINY)
    assert not (tiny_root / ".scenes").exists()


@pytest.mark.parametrize("run", [simulate_nuscenes, estimate])
def test_root_of_other_options_is_rejected(tiny_root: Path, run) -> None:  # type: ignore[no-untyped-def]
    other = SimulateOptions(scenes=3, keyframes=2, seed=11, image_size=(64, 36), beams=8, sweeps=1)
    with pytest.raises(UserError, match=r"options\.image_size is \[48, 27\], but \[64, 36\]"):
        run(tiny_root, other)


@pytest.mark.parametrize("run", [simulate_nuscenes, estimate])
def test_folder_with_other_files_is_rejected(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=f"{STATE}; expected"):
        run(tmp_path, TINY)


def test_damaged_state_file_is_reported(tmp_path: Path) -> None:
    write_json(tmp_path / "simulation.json", {"complete": True})
    with pytest.raises(UserError, match=r"simulation\.json: field options is missing"):
        simulate_nuscenes(tmp_path, TINY)


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"scenes": 0}, "scenes"),
        ({"beams": 1}, "beams"),
        ({"sweeps": 10}, "sweeps"),
        ({"image_size": (8, 90)}, "image-size"),
    ],
)
def test_option_out_of_range_is_reported(changed: dict, option: str) -> None:
    with pytest.raises(UsageError, match=f"--{option}"):
        SimulateOptions(**{"scenes": 1, "keyframes": 1, "seed": 0, **changed})


def test_estimate_writes_nothing_and_is_close_to_the_actual_size(tiny_root: Path, tmp_path: Path) -> None:
    foreseen = estimate(tmp_path / "new", TINY)
    assert not (tmp_path / "new").exists()
    assert foreseen.scenes_left == 3
    assert foreseen.files == pytest.approx(len(digests(tiny_root)), abs=4)
    assert estimate(tiny_root, TINY).scenes_left == 0
    assert "0 of 3 scenes" in estimate(tiny_root, TINY).summary()


def test_splits_hold_every_scene_once() -> None:
    for scenes, val in ((1, 0), (2, 1), (10, 2), (48, 10)):
        splits = SimulateOptions(scenes=scenes, keyframes=1, seed=0).splits
        assert len(splits["sim_val"]) == val
        assert len({*splits["sim_train"], *splits["sim_val"]}) == scenes


def test_scenes_of_one_location_do_not_overlap() -> None:
    options = SimulateOptions(scenes=40, keyframes=40, seed=0)
    plans = [plan_scene(options, k) for k in range(40)]
    for a in plans:
        for b in plans:
            if a is not b and a.location == b.location:
                assert max(abs(a.shift[0] - b.shift[0]), abs(a.shift[1] - b.shift[1])) > 500.0


def test_split_file_and_version_folder(tiny_root: Path) -> None:
    splits = read_json(tiny_root / "v1.0-mini" / "splits.json")
    assert splits == {"sim_train": ["sim-0000", "sim-0001"], "sim_val": ["sim-0002"]}
