"""A table of one pretraining and two evaluations, run on simulated streets as a user runs it on nuScenes."""

from pathlib import Path
from typing import Any

import pytest

from pc_ssl.cli import app
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.experiments import read_records

TABLE = """
from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Kind, Method, Plan, Pretraining
from pc_ssl.experiments.published_table import Part, Preparation, PublishedScore, PublishedTable

PRC = Pretraining("prc", "{prc}")
table = PublishedTable(
    title="a small table",
    source="nowhere",
    differences=("the network is small",),
    parts=(
        Part(
            "streets",
            Preparation("one", "nuscenes", ("--version", "v1.0-mini")),
            Plan(
                (Method("scratch"), Method("prc", {{WHOLE: PRC}}, "PRC")),
                (
                    Evaluation("half", "{task}", fractions=(0.5,), title="50 %"),
                    Evaluation("probe", "{task}", Kind.PROBE),
                ),
            ),
            (
                PublishedScore("prc", "half", "miou", 46.0),
                PublishedScore("prc", "half", "miou", 8.6, against="scratch"),
            ),
        ),
    ),
)
"""


@pytest.fixture(scope="module")
def street_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six streets of one keyframe, of which the last is held out."""
    root = tmp_path_factory.mktemp("data") / "nuscenes"
    arguments = ["simulate", "nuscenes", "--out", root, "--scenes", "6", "--keyframes", "1", "--image-size", "64x36"]
    app([str(argument) for argument in arguments], standalone_mode=False)
    return root


@pytest.mark.usefixtures("commands_in_process")
def test_reproduce_prepares_trains_and_prints_measured_and_published(
    configs: Any, street_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file, work = tmp_path / "mine.py", tmp_path / "work"
    file.write_text(TABLE.format(prc=configs.prc, task=configs.segmentation))
    arguments = ["reproduce", file, "--root", street_root, "--work-dir", work, "--device", "cpu"]
    assert not app([str(argument) for argument in arguments], standalone_mode=False)
    printed = capsys.readouterr().out

    scores = {}
    for method in ("scratch", "prc"):
        result = RunResult.read(work / "half" / method / "labels-0.5" / "seed-0" / "result.json")
        scores[method] = 100 * result.segmentation.miou
    rows = {line.split()[0]: line for line in printed.splitlines() if "(" in line}
    assert f"{scores['scratch']:.1f} (-)" in rows["scratch"]
    assert f"{scores['prc']:.1f} (46)" in rows["PRC"]
    assert f"prc - scratch, 50 %, mIoU: {scores['prc'] - scores['scratch']:+.1f} (+8.6)" in printed
    assert "differs: the network is small" in printed
    assert (work / "table.txt").read_text() in printed
    assert {record.evaluation for record in read_records(work / "records.jsonl")} == {"half", "probe", "pretrain"}


def test_root_and_work_folder_are_required_without_dry_run() -> None:
    with pytest.raises(Exception, match="--root and --work-dir"):
        app(["reproduce", "slidr"], standalone_mode=False)


def test_tables_are_listed(capsys: pytest.CaptureFixture) -> None:
    app(["reproduce"], standalone_mode=False)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][:2] == ["calico_detection", "calico_map"]
