"""What some frames lack costs these frames, and not the run: images, cameras, points in the grid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache, Manifest, decode_frame, encode_frame, write_frame, write_manifest
from pc_ssl.engine.downstream import evaluate, finetune, probe
from pc_ssl.engine.pretrain import pretrain
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import RunResult

SMOKE = Path(__file__).parents[2] / "configs" / "smoke"
BEV = """
from pc_ssl.engine.options import TrainOptions
from pc_ssl.geometry import BevGrid
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.lidar import Augmentation, SingleView

task = dict(
    type=SegmentationTask,
    backbone=dict(
        type=SECOND,
        grid=dict(type=BevGrid, lower=(-25.6, -25.6, -5.0), upper=(25.6, 25.6, 3.0), voxel_size=(0.8, 0.8, 1.0)),
        stage_channels=(8, 16), stage_blocks=(1, 1), neck_channels=(16, 16), neck_layers=(1, 1), upsampled_channels=8,
    ),
    view=dict(type=SingleView, augmentation=dict(type=Augmentation, rotation=0.3, shift=0.0)),
)
train = dict(type=TrainOptions, steps=2, batch_size=2, learning_rate=1e-2, num_workers=0)
"""
Tensors = dict[str, NDArray]


@pytest.fixture
def changed(street_cache: Cache, tmp_path: Path) -> Callable[[Callable[[str, Tensors], Tensors]], Cache]:
    """The street, each frame changed by a function of its token and its tensors."""

    def write(change: Callable[[str, Tensors], Tensors]) -> Cache:
        folder, old = tmp_path / "cache", street_cache.manifest
        entries = []
        for entry in old.frames:
            tensors = change(entry.token, decode_frame((street_cache.path / entry.file).read_bytes()))
            entries.append(write_frame(folder, entry.scene, entry.token, entry.timestamp_us, encode_frame(tensors)))
        write_manifest(folder, Manifest(old.dataset, old.version, old.options, old.classes, old.splits, entries,
                                        old.columns))  # fmt: skip
        return Cache(folder)

    return write


def one_blind_one_with_two_cameras(token: str, tensors: Tensors) -> Tensors:
    if token.endswith("00-0"):
        return {key: value for key, value in tensors.items() if not key.endswith("CAM_FRONT")}
    if token.endswith("00-1"):
        return tensors | {key.replace("FRONT", "BACK"): tensors[key] for key in tensors if key.endswith("CAM_FRONT")}
    return tensors


@pytest.mark.parametrize("name", ["slidr_unet", "ppkt_unet", "scalr_unet", "sim_ipu_second"])
def test_cameras_may_differ_from_frame_to_frame_and_be_absent(
    name: str, changed: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = changed(one_blind_one_with_two_cameras)
    count = len(cache.indices("train"))
    steps = ["train.steps=4", "train.num_workers=0"]
    pretrain(SMOKE / f"{name}.py", cache.path, tmp_path / name, overrides=steps, device="cpu")
    assert (tmp_path / name / "weights.safetensors").exists()
    captured = capsys.readouterr()
    assert f"split train: 1 of {count} frames" in captured.err
    assert "street-00-0" in captured.err
    assert f"{count - 1:,}: " in captured.out  # "frames           7: ..."


def test_nothing_is_trained_on_frames_without_images(changed: Callable, tmp_path: Path) -> None:
    cache = changed(lambda _, tensors: {key: of for key, of in tensors.items() if not key.endswith("CAM_FRONT")})
    with pytest.raises(UserError, match="none of the 8 frames of split train"):
        pretrain(SMOKE / "scalr_unet.py", cache.path, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_validation_split_without_labels_is_refused_before_training(changed: Callable, tmp_path: Path) -> None:
    def unlabelled(token: str, tensors: Tensors) -> Tensors:
        return tensors if token < "street-04" else tensors | {"label": np.zeros_like(tensors["label"])}

    cache = changed(unlabelled)
    with pytest.raises(UserError, match=r"split val, 4 frames.* label 0"):
        finetune(load_config(SMOKE / "segmentation.py"), cache, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [probe, finetune])
def test_a_frame_outside_the_grid_is_left_out_of_the_score_which_says_so(
    command: Callable[..., RunResult], changed: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_far_away(token: str, tensors: Tensors) -> Tensors:
        moved = tensors["points"] + np.array([1000, 0, 0, 0], np.float32)
        return tensors | {"points": moved} if token in ("street-01-0", "street-05-1") else tensors

    cache, config = changed(one_far_away), tmp_path / "bev.py"
    config.write_text(BEV)
    run = command(load_config(config), cache, tmp_path / "run", device="cpu")
    assert run.result.num_frames == 3
    assert run.num_split_frames == 4
    assert "3 of 4 frames" in run.summary()
    assert "evaluate: 1 of 4 frames left out" in capsys.readouterr().err
    assert RunResult.read(tmp_path / "run" / "result.json").num_split_frames == 4
    again = evaluate(load_config(config), cache, tmp_path / "run" / "weights.safetensors", tmp_path / "again",
                     device="cpu")  # fmt: skip
    assert again.result == run.result
