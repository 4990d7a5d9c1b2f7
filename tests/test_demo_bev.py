"""The BEV demo in miniature: its commands are called in this process."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pc_ssl.experiments import read_records

ROOT = Path(__file__).parents[1]
TRAIN = ("train.steps=2", "train.batch_size=1")


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """`benchmarks/demo_bev.py` as a module."""
    spec = importlib.util.spec_from_file_location("demo_bev", ROOT / "benchmarks" / "demo_bev.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_bev"] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def finished(demo: ModuleType, tmp_path_factory: pytest.TempPathFactory, commands_in_process: None) -> tuple[Path, str]:
    """The folder and the table of a demo of three scenes, one seed and two steps of small networks."""
    scratch, prc, calico = demo.DEMO.plan.methods
    small_prc = replace(prc.init["lidar"], overrides=(*lidar("method.backbone"), *TRAIN))
    small_rad = replace(
        calico.init["camera"],
        overrides=(*camera("method.backbone"), *lidar("method.teacher"), *images("method.views.sensors"), *TRAIN),
        init={"teacher": small_prc},
    )
    methods = (
        scratch,
        replace(prc, init={"lidar": small_prc}),
        replace(calico, init={"lidar": small_prc, "camera": small_rad}),
    )
    task = (*lidar("task.backbone.lidar"), *camera("task.backbone.camera"), *images("task.views"), *TRAIN)
    evaluations = tuple(replace(evaluation, overrides=task) for evaluation in demo.DEMO.plan.evaluations)
    small = replace(
        demo.DEMO,
        streets=demo.Streets(("--scenes", "3", "--keyframes", "1", "--image-size", "64x36")),
        plan=replace(demo.DEMO.plan, methods=methods, evaluations=evaluations, seeds=(0,)),
    )
    folder = tmp_path_factory.mktemp("demo_bev")
    return folder, small.run(folder)


def lidar(part: str) -> list[str]:
    return [f"{part}.grid.voxel_size=(1.6, 1.6, 4.0)"]


def camera(part: str) -> list[str]:
    return [f"{part}.grid.voxel_size=(6.4, 6.4, 8.0)", f"{part}.depths.step=8.0"]


def images(part: str) -> list[str]:
    return [f"{part}.images.{text}" for text in ("resize=(1.0, 1.1)", "width=64", "height=32")]


def test_the_demo_measures_what_its_readme_says(demo: ModuleType) -> None:
    """75 scenes, three seeds, 5 % of the labels."""
    assert demo.DEMO.streets.simulate[:4] == ("--scenes", "75", "--keyframes", "4")
    assert demo.DEMO.plan.seeds == (0, 1, 2)
    assert [evaluation.fractions for evaluation in demo.DEMO.plan.evaluations] == [(0.05,), (0.05,)]


def test_seconds_of_each_stage_are_kept(finished: tuple[Path, str]) -> None:
    seconds = json.loads((finished[0] / "seconds.json").read_text())
    stages = ["simulate", "prepare", "pretrain", "pretrain-2", "detection", "map_segmentation", "report"]
    assert list(seconds) == stages


def test_each_start_loads_what_its_name_says(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    records = read_records(folder / "records.jsonl")
    for task, measures in (("detection", ("nds", "map")), ("map_segmentation", ("miou",))):
        for start, parts in (("scratch", ()), ("prc", ("lidar",)), ("calico", ("lidar", "camera"))):
            run = json.loads((folder / task / start / "labels-0.05" / "seed-0" / "result.json").read_text())
            of = {r.metric: r.value for r in records if (r.evaluation, r.method, r.scene) == (task, start, "all")}
            assert all(of[measure] == run["result"][measure] for measure in measures)
            origin = run["paths"]["init"] or ""
            assert ("lidar=" in origin, "camera=" in origin) == ("lidar" in parts, "camera" in parts)
    teacher = json.loads((folder / "pretrain" / "rad" / "seed-0" / "run.json").read_text())["settings"]["init"]
    assert list(teacher) == ["teacher"]


def test_table_and_report_show_all_starts(finished: tuple[Path, str]) -> None:
    folder, table = finished
    lines = table.splitlines()
    assert [line.split("  ")[0] for line in lines[:4]] == ["%", "from scratch", "PRC", "PRC + RAD"]
    for score in ("detection, 5 %, NDS", "detection, 5 %, mAP", "map segmentation, 5 %, mIoU"):
        assert score in lines[0]
    page = (folder / "report.html").read_text()
    for title in ("Detection, from scratch", "Detection, PRC + RAD", "Map segmentation, PRC", "RAD"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("data:image/png;base64,") > 8
