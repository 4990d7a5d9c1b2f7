"""Many processes and machines writing one cache: the bytes are those of one process."""

import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.add_regions import add_regions, estimate_adding
from data_prep.cache_folder import CacheFolder
from data_prep.jobs import Executor
from data_prep.journal import WHOLE, Shard
from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.pipeline import PrepareReport, estimate, prepare
from data_prep.simulate.nuscenes import SimulateOptions, simulate_nuscenes
from data_prep.stages import Stages
from pc_ssl.data.cache import Cache
from pc_ssl.data.verify import verify
from pc_ssl.errors import UsageError, UserError

VERSION = "v1.0-mini"
STAGES = choose_stages(regions=("dbscan", "dbscan3d", "slic"))


def run(
    root: Path, out: Path, stages: Stages = STAGES, shard: Shard = WHOLE, strict: bool = False, **where: Any
) -> PrepareReport:
    return prepare(NuScenesReader(root, VERSION, 3), stages, CacheFolder(out, shard), Executor(**where), strict=strict)


def add(root: Path, out: Path, *regions: str, shard: Shard = WHOLE) -> PrepareReport:
    return add_regions(NuScenesReader(root, VERSION, 3), choose_stages(regions), CacheFolder(out, shard))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def expected(pristine_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The cache of one uninterrupted process."""
    out = tmp_path_factory.mktemp("undisturbed") / "cache"
    run(pristine_root, out)
    return contents(out)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_shards_write_the_same_cache_in_any_order(
    pristine_root: Path, tmp_path: Path, expected: dict[str, bytes], count: int
) -> None:
    out = tmp_path / "cache"
    order = np.random.default_rng(count).permutation(count) + 1
    done = 0
    for index in order:
        assert not (out / "manifest.json").exists()
        report = run(pristine_root, out, shard=Shard(int(index), count))
        done += report.prepared
        assert (report.waiting, report.exit_code) == (6 - done, 0)
        assert ("the last shard completes the cache" in report.summary()) == (done < 6)
        if done == 6:
            break
    assert contents(out) == expected
    again = run(pristine_root, out, shard=Shard(1, count))
    assert (again.prepared, again.waiting) == (0, 0)
    assert contents(out) == expected


def test_shards_at_the_same_time(pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    context = multiprocessing.get_context("fork")
    for round in range(5):
        out = tmp_path / f"cache{round}"
        shards = [
            context.Process(target=run, args=(pristine_root, out), kwargs={"shard": Shard(index, 3)})
            for index in (1, 2, 3)
        ]
        for shard in shards:
            shard.start()
        for shard in shards:
            shard.join()
        assert [shard.exitcode for shard in shards] == [0, 0, 0]
        assert contents(out) == expected


def test_a_run_without_shards_completes_unfinished_shards(
    pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "cache"
    run(pristine_root, out, shard=Shard(2, 3))
    report = run(pristine_root, out)
    assert (report.prepared, report.kept) == (4, 2)
    assert contents(out) == expected


def test_a_failure_in_one_shard_is_recorded_in_the_cache(
    root: Path, pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "cache"
    path = sorted((root / "samples" / "LIDAR_TOP").iterdir())[2]  # frame 2 belongs to shard 1 of 2
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    first, second = run(root, out, shard=Shard(1, 2)), run(root, out, shard=Shard(2, 2))
    assert (first.exit_code, first.waiting) == (3, 3)
    assert (second.exit_code, second.waiting) == (3, 0)
    assert [failure["token"] for failure in json.loads((out / "failed.json").read_text())] == ["sample0002"]
    assert len(Cache(out)) == 5
    path.write_bytes(content)
    assert run(root, out, shard=Shard(2, 2)).waiting == 1
    assert run(root, out, shard=Shard(1, 2)).prepared == 1
    assert contents(out) == expected


def test_a_damaged_frame_that_cannot_be_made_again_leaves_the_manifest(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "cache"
    run(root, out)
    victim = out / Cache(out).frames[4].file
    victim.write_bytes(victim.read_bytes()[:-1])
    sorted((root / "samples" / "LIDAR_TOP").iterdir())[4].unlink()
    assert run(root, out).exit_code == 3
    assert [entry.token for entry in Cache(out).frames] == [f"sample000{i}" for i in (0, 1, 2, 3, 5)]
    assert verify(out).problems == ()


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_shards_that_do_not_exist(text: str) -> None:
    with pytest.raises(UsageError, match=rf"shard: .*{re.escape(text)}.* is not I/N"):
        Shard.parse(text)


# Dask


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a scheduler with two workers."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
def test_a_dask_cluster_writes_the_same_cache(
    cluster: str, root: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "cache"
    path = sorted((root / "samples" / "LIDAR_TOP").iterdir())[0]
    content = path.read_bytes()
    path.write_bytes(b"")
    report = run(root, out, scheduler=cluster)
    assert (report.prepared, report.exit_code) == (5, 3)
    path.write_bytes(content)
    assert run(root, out, scheduler=cluster).kept == 5
    assert contents(out) == expected
    cost = estimate(
        NuScenesReader(root, VERSION, 3), STAGES, CacheFolder(tmp_path / "other"), Executor(scheduler=cluster)
    )
    assert cost.tried == 3


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer(pristine_root: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(UserError, match=r"scheduler: .* 'tcp://127\.0\.0\.1:9'"),
    ):
        run(pristine_root, tmp_path / "cache", scheduler="tcp://127.0.0.1:9")
    assert distributed is not None


# Memory


def test_memory_of_a_worker_does_not_count_what_this_process_holds(pristine_root: Path, tmp_path: Path) -> None:
    held = np.ones(200_000_000)  # 1.6 GB, as tables of a large data set might take
    cost = estimate(
        NuScenesReader(pristine_root, VERSION), STAGES, CacheFolder(tmp_path / "cache"), Executor(workers=1)
    )
    assert 50e6 < cost.memory_bytes < held.nbytes
    assert cost.workers == 1


@pytest.mark.slow
def test_peak_memory_is_within_the_estimate(pristine_root: Path, tmp_path: Path) -> None:
    reader = NuScenesReader(pristine_root, VERSION, 10)
    folder, executor = CacheFolder(tmp_path / "cache"), Executor(workers=2)
    stated = estimate(reader, STAGES, folder, executor).memory_bytes
    held = prepare(reader, STAGES, folder, executor).memory_bytes
    assert 50e6 < held <= stated < 1e9


@pytest.mark.slow
def test_ten_sweeps_of_full_size_stay_within_the_readmes_memory(tmp_path: Path) -> None:
    root, regions = tmp_path / "root", ("dbscan", "hdbscan", "range_adaptive", "slic")
    simulate_nuscenes(root, SimulateOptions(1, 3, seed=0, image_size=(800, 450), sweeps=9))
    report = prepare(
        NuScenesReader(root, VERSION, 10), choose_stages(regions), CacheFolder(tmp_path / "cache"), Executor(workers=2)
    )
    assert report.prepared == 3
    assert max(len(frame["points"]) for frame in map(Cache(tmp_path / "cache").__getitem__, range(3))) > 200_000
    assert report.memory_bytes < 500e6


# More regions


def test_adding_regions_gives_the_cache_prepared_with_them(
    root: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "cache"
    run(root, out, choose_stages(regions=("dbscan",)))
    report = add(root, out, "dbscan3d", "slic")
    assert (report.prepared, report.kept, report.exit_code) == (6, 0, 0)
    assert contents(out) == expected
    assert add(root, out, "slic").summary().endswith("nothing to do")
    assert run(root, out).kept == 6
    assert contents(out) == expected


def test_point_regions_are_added_without_the_recordings(
    root: Path, pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    import shutil

    out = tmp_path / "cache"
    run(root, out, choose_stages(regions=("dbscan",)))
    for folder in ("samples", "sweeps", "lidarseg"):
        shutil.rmtree(root / folder)
    add(root, out, "dbscan3d")
    run(pristine_root, tmp_path / "direct", choose_stages(regions=("dbscan", "dbscan3d")))
    assert contents(out) == contents(tmp_path / "direct")


def test_the_estimate_of_adding_changes_nothing(pristine_root: Path, tmp_path: Path) -> None:
    out, reader = tmp_path / "cache", NuScenesReader(pristine_root, VERSION, 3)
    run(pristine_root, out, choose_stages(regions=("dbscan",)))
    before = contents(out)
    added = choose_stages(("dbscan3d", "slic"))
    cost = estimate_adding(reader, added, CacheFolder(out))
    assert (cost.frames, cost.tried) == (6, 3)
    assert contents(out) == before
    add(pristine_root, out, "dbscan3d", "slic", shard=Shard(2, 2))
    half = contents(out)
    assert estimate_adding(reader, added, CacheFolder(out)).frames == 3
    assert estimate_adding(reader, added, CacheFolder(out, Shard(2, 2))).frames == 0
    assert contents(out) == half
    add(pristine_root, out, "dbscan3d", "slic")
    assert estimate_adding(reader, added, CacheFolder(out)).frames == 0
    whole = sum(len(content) for name, content in contents(out).items() if name.startswith("frames/"))
    assert cost.bytes == pytest.approx(whole, rel=0.05)


def test_regions_are_added_in_shards(pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    out = tmp_path / "cache"
    run(pristine_root, out, choose_stages(regions=("dbscan",)))
    assert add(pristine_root, out, "dbscan3d", "slic", shard=Shard(2, 2)).waiting == 3
    with pytest.raises(UserError, match="not a complete cache"):
        Cache(out)
    assert add(pristine_root, out, "dbscan3d", "slic", shard=Shard(1, 2)).waiting == 0
    assert contents(out) == expected


def test_other_regions_suggest_add_regions(pristine_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "cache"
    run(pristine_root, out, choose_stages(regions=("dbscan",)))
    with pytest.raises(UserError, match=r"regions\.dbscan3d is absent, requested present.*--add-regions"):
        run(pristine_root, out, choose_stages(regions=("dbscan", "dbscan3d")))


def test_adding_rejects_other_caches(pristine_root: Path, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "cache"
    with pytest.raises(UserError, match="not a complete cache"):
        add(pristine_root, out, "dbscan3d")
    run(pristine_root, out, choose_stages(regions=("dbscan",)))
    before = contents(out)
    with pytest.raises(UserError, match="sweeps is 3, requested 2"):
        add_regions(NuScenesReader(pristine_root, VERSION, 2), choose_stages(("dbscan3d",)), CacheFolder(out))
    with pytest.raises(UsageError, match="unknown generator 'dbscn'"):
        add(pristine_root, out, "dbscn")
    (out / "failed.json").write_text("[]")
    with pytest.raises(UserError, match=r"failed\.json: lists missing frames"):
        add(pristine_root, out, "dbscan3d")
    (out / "failed.json").unlink()
    assert contents(out) == before


def test_a_damaged_frame_gets_no_regions(pristine_root: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    out = tmp_path / "cache"
    run(pristine_root, out, choose_stages(regions=("dbscan",)))
    victim = out / Cache(out).frames[1].file
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    report = add(pristine_root, out, "dbscan3d", "slic")
    assert [failure.token for failure in report.failures] == ["sample0001"]
    assert "differs from the written file" in report.failures[0].reason
    assert run(pristine_root, out).prepared == 1
    assert contents(out) == expected


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(8))  # the manifest set aside, six frames, the new manifest
def test_death_while_adding_loses_nothing(
    pristine_root: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    step: int,
    after: bool,
    in_child: Callable[..., int],
    die_at: Callable[..., Callable[..., None]],
) -> None:
    out = tmp_path / "cache"
    run(pristine_root, out, choose_stages(regions=("dbscan",)))

    def work() -> None:
        os.replace = die_at(step, after=after)  # type: ignore[assignment]
        add(pristine_root, out, "dbscan3d", "slic")

    in_child(work)
    if (out / "manifest.json").exists():
        assert verify(out).problems == ()
    add(pristine_root, out, "dbscan3d", "slic")
    assert contents(out) == expected


def test_adding_stopped_before_any_frame_is_undone(
    pristine_root: Path, tmp_path: Path, in_child: Callable[..., int], die_at: Callable[..., Callable[..., None]]
) -> None:
    out, options = tmp_path / "cache", choose_stages(regions=("dbscan",))
    run(pristine_root, out, options)
    before = contents(out)

    def work() -> None:
        os.replace = die_at(0, after=True)  # type: ignore[assignment]
        add(pristine_root, out, "dbscan3d")

    in_child(work)
    assert not (out / "manifest.json").exists()
    assert run(pristine_root, out, options).kept == 6
    assert contents(out) == before


def test_twenty_random_kills_of_shards(
    pristine_root: Path, tmp_path: Path, expected: dict[str, bytes], in_child: Callable[..., int]
) -> None:
    rng = np.random.default_rng(2)
    begin = time.monotonic()
    in_child(lambda: run(pristine_root, tmp_path / "timed"))
    whole = time.monotonic() - begin
    out = tmp_path / "cache"
    for _ in range(20):
        shard = Shard(int(rng.integers(1, 3)), 2)
        in_child(lambda shard=shard: run(pristine_root, out, shard=shard), kill_after_s=rng.uniform(0.1, 0.8) * whole)
        if (out / "manifest.json").exists():
            assert verify(out).problems == ()
    for index in (1, 2):
        run(pristine_root, out, shard=Shard(index, 2))
    assert contents(out) == expected


def test_a_cache_larger_than_the_disk_is_rejected_at_the_start(
    pristine_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from data_prep import pipeline

    monkeypatch.setattr(pipeline, "MIN_FRAMES_FOR_ETA", 1)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"GB, but only [\d.]+ GB are free"):
        run(pristine_root, tmp_path / "cache")
    assert "6 frames, about" in capsys.readouterr().err
