"""Pages of caches and runs: what must stand in them is looked up in what was written."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import evaluate, finetune, probe
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.report.curves import read_log
from pc_ssl.report.page import report
from pc_ssl.report.sections import classes

CONFIG = """
from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation, SingleView

task = dict(
    type=SegmentationTask,
    backbone=dict(
        type=SparseUNet,
        voxel_size=(0.5, 0.5, 0.5),
        stem_channels=8,
        encoder_channels=(8,),
        encoder_blocks=(1,),
        decoder_channels=(8,),
        decoder_blocks=(1,),
    ),
    view=dict(type=SingleView, augmentation=dict(type=Augmentation, shift=0.0)),
)
train = dict(type=TrainOptions, steps=4, batch_size=2, learning_rate=1e-2, num_workers=0, log_every=1)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, street_cache: Cache) -> Path:
    """A folder with a `probe` and a `finetune` of the same network."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "segmentation.py").write_text(CONFIG)
    config = load_config(folder / "segmentation.py")
    probe(config, street_cache, folder / "probe", device="cpu")
    finetune(config, street_cache, folder / "finetune", device="cpu")
    evaluate(config, street_cache, folder / "finetune" / "weights.safetensors", folder / "evaluate", device="cpu")
    return folder


def headings(page: Path) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page.read_text())


def images(page: Path) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page.read_text())
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in found]


def test_page_of_a_cache_shows_its_contents_regions_and_image(street_cache: Cache, tmp_path: Path) -> None:
    page = report(street_cache.path, tmp_path / "page.html")
    assert page == tmp_path / "page.html"
    frames = [f"Keyframe {scene}-{k} of {scene}" for scene, k in (("street-00", 0), ("street-03", 0), ("street-05", 1))]
    assert headings(page) == ["Contents", *frames]
    text = page.read_text()
    assert "12 keyframes" in text
    assert "<td>train</td><td>4</td><td>8</td>" in text
    assert "The points that CAM_FRONT sees." in text
    # regions from above and on the image, and labels, of three frames; their superpixels are the same squares
    assert len(images(page)) == 3 * 3 + 1
    assert len({picture.tobytes() for picture in images(page)}) == 3 * 3 + 1


def test_page_of_a_finetuning_shows_result_training_and_network(runs: Path) -> None:
    page = report(runs / "finetune")
    assert page == runs / "finetune" / "report.html"
    assert headings(page) == ["Classes", "Training", "Predictions", "Features"]
    result = RunResult.read(runs / "finetune" / "result.json").result
    assert f"mIoU {100 * result.miou:.1f} % over 4 keyframes of split val" in page.read_text()
    assert all(picture.std() > 5 for picture in images(page))
    assert len(images(page)) == 3


def test_page_of_a_probe_has_no_training(runs: Path) -> None:
    assert headings(report(runs / "probe")) == ["Classes", "Predictions", "Features"]


def test_page_of_an_evaluation_shows_the_evaluated_network(runs: Path) -> None:
    page = report(runs / "evaluate")
    assert headings(page) == ["Classes", "Predictions", "Features"]
    evaluated, finetuned = images(page), images(report(runs / "finetune"))[1:]  # the first one shows its training
    assert all(np.array_equal(one, other) for one, other in zip(evaluated, finetuned, strict=True))


def test_page_of_a_training_run_shows_terms_and_settings(runs: Path) -> None:
    page = report(runs / "finetune" / "train")
    assert headings(page) == ["Training", "Settings"]
    assert "<td>train.learning_rate</td><td>0.01</td>" in page.read_text()
    assert len(images(page)) == 1


def test_a_result_whose_cache_is_gone_says_so(runs: Path, tmp_path: Path) -> None:
    content = json.loads((runs / "probe" / "result.json").read_text())
    content["paths"]["cache"] = str(tmp_path / "gone")
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "result.json").write_text(json.dumps(content))
    page = report(tmp_path / "moved")
    assert headings(page) == ["Classes"]
    assert f"No pictures of the network: {tmp_path / 'gone'}: not a complete cache" in page.read_text()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds neither a cache \(manifest.json\) nor a run \(result.json, run.json\)"):
        report(tmp_path)


def test_damaged_settings_are_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(UserError, match=r"run.json: field 'settings' is missing"):
        report(tmp_path)


def test_class_table_holds_the_mean_over_runs(runs: Path) -> None:
    results = [RunResult.read(runs / name / "result.json") for name in ("probe", "finetune")]
    table = "".join(classes({"both": results}))
    car = results[0].result.class_names.index("car")
    mean = 100 * np.mean([run.result.iou[car] for run in results])
    assert f"<td>car</td><td>{results[0].result.labelled[car]:,}</td><td>{mean:.1f}</td>" in table
    assert "<td>bus</td><td>0</td>" in table


def test_a_log_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": null}\n{"step": 3, "lo')
    assert [line["step"] for line in read_log(path)] == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no step yet"),
        ("nonsense\n", "line 1 is not JSON"),
        ('{"step": 1}\n{"loss": 1}\n', "line 2 has no field 'step'"),
    ],
)
def test_a_damaged_log_is_the_users_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_log(path)
    with pytest.raises(UserError, match="no such file"):
        read_log(tmp_path / "other")
