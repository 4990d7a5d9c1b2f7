"""Fine-tuning and evaluation of boxes and maps on a simulated recording, with networks of a few channels."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from data_prep.cache_folder import CacheFolder
from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.simulate.nuscenes import SimulateOptions, simulate_nuscenes
from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.cache import Cache, Manifest, write_manifest
from pc_ssl.engine.downstream import build_task, evaluate, evaluate_task, finetune, probe
from pc_ssl.engine.initial import InitialWeights
from pc_ssl.engine.labels import Labels
from pc_ssl.engine.tasks import NUSCENES_RESULTS, TASK_KINDS, TaskKind
from pc_ssl.engine.weights import read_tensors, save_weights
from pc_ssl.errors import UserError
from pc_ssl.evaluation.bev_map import THRESHOLDS, BevMapResult
from pc_ssl.evaluation.detection_result import DetectionResult
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.structures import Boxes3D

CONFIG = """
from pc_ssl.engine.options import TrainOptions
from pc_ssl.geometry import BevGrid
from pc_ssl.heads.bev_map import BevMapHead, MapTask
from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

_backbone = dict(
    type=BevEncoder,
    lidar=dict(
        type=SECOND, grid=dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0),
        voxel_size=(0.8, 0.8, 1.0)), stage_channels=(8, 16), stage_blocks=(1, 1), neck_channels=(8, 8),
        neck_layers=(1, 1), upsampled_channels=8,
    ),
)
_augmentation = dict(type=Augmentation, rotation=0.3)
train = dict(type=TrainOptions, steps=3, batch_size=2, learning_rate=1e-3, num_workers=0, log_every=1)
"""
BOXES = """
task = dict(
    type=DetectionTask, backbone=_backbone, class_balanced=True,
    head=dict(type=CenterPointHead, in_channels=16, shared_channels=8, score_threshold=0.0, candidates=20),
    views=dict(type=SensorViews, augmentation=_augmentation, boxes=True),
)
"""
MAP = """
task = dict(
    type=MapTask, backbone=_backbone, head=dict(type=BevMapHead, in_channels=16),
    views=dict(type=SensorViews, augmentation=_augmentation, bev_map=True),
)
"""
SPLITS = Labels(train_split="sim_train", val_split="sim_val")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    folder = tmp_path_factory.mktemp("tasks")
    simulate_nuscenes(folder / "root", SimulateOptions(scenes=2, keyframes=2, seed=3, image_size=(48, 27), beams=16))
    prepare(NuScenesReader(folder / "root", "v1.0-mini"), choose_stages(regions=()), CacheFolder(folder / "cache"))
    return Cache(folder / "cache")


def config(folder: Path, task: str) -> RunConfig:
    path = folder / "task.py"
    path.write_text(CONFIG + task)
    return load_config(path)


@pytest.mark.parametrize(("task", "kind"), [(BOXES, DetectionResult), (MAP, BevMapResult)], ids=["boxes", "map"])
def test_a_task_is_trained_judged_and_judged_again_alike(task: str, kind: type, cache: Cache, tmp_path: Path) -> None:
    run = finetune(config(tmp_path, task), cache, tmp_path / "run", labels=SPLITS, device="cpu")
    assert isinstance(run.result, kind)
    assert run.result.num_frames == 2
    assert RunResult.read(tmp_path / "run" / "result.json").result == run.result
    assert run.summary().startswith("finetune, split sim_val: 2 frames")
    again = evaluate(
        config(tmp_path, task), cache, tmp_path / "run" / "weights.safetensors", tmp_path / "again",
        split="sim_val", device="cpu",
    )  # fmt: skip
    assert again.result == run.result
    assert (tmp_path / "again" / NUSCENES_RESULTS).exists() == (kind is DetectionResult)


def test_the_evaluated_views_draw_nothing(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that predicts the annotations of the view is perfect, so views and annotations share the frame."""
    settings = config(tmp_path, BOXES)
    task = build_task(settings, cache, seed=0)

    def annotations(batch) -> list[Boxes3D]:
        (boxes,) = batch.boxes
        boxes = boxes[boxes.label < 10]
        return [Boxes3D(boxes.box, boxes.label, boxes.attribute, torch.ones(len(boxes)))]

    monkeypatch.setattr(task, "predict", annotations)
    rows = cache.indices("sim_train")
    result = evaluate_task(settings, task, cache, rows, torch.device("cpu"), tmp_path)
    assert isinstance(result, DetectionResult)
    assert result.annotated.errors["trans"] == pytest.approx(0, abs=1e-4)
    assert result.annotated.errors["vel"] == pytest.approx(0, abs=1e-2)
    assert result.annotated.errors["orient"] == pytest.approx(0, abs=2e-3)
    content = json.loads((tmp_path / NUSCENES_RESULTS).read_text())
    assert content["meta"]["use_lidar"]
    assert not content["meta"]["use_camera"]
    assert set(content["results"]) == {cache.frames[row].token for row in rows}


def test_a_map_predicted_as_recorded_is_perfect(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(tmp_path, MAP)
    task = build_task(settings, cache, seed=0)
    monkeypatch.setattr(task, "predict", lambda batch: batch.bev_map.mask.float())
    result = evaluate_task(settings, task, cache, cache.indices("sim_val"), torch.device("cpu"))
    assert isinstance(result, BevMapResult)
    assert result.miou == 1.0
    assert result.best_threshold[0] == THRESHOLDS[0]
    mask = torch.stack([cache[row]["bev_map"] for row in cache.indices("sim_val")])
    assert result.labelled == tuple(mask.sum(dim=(0, 2, 3)).tolist())


def test_classes_are_balanced_where_the_task_asks_for_it(cache: Cache, tmp_path: Path) -> None:
    task = build_task(config(tmp_path, BOXES), cache, seed=0)
    kind: TaskKind = TASK_KINDS[type(task)]
    rows = [2, 3]
    drawn = kind.rows(task, cache, rows, 0)
    assert set(drawn) <= set(rows)
    assert drawn == kind.rows(task, cache, rows, 0)
    task.class_balanced = False
    assert kind.rows(task, cache, rows, 0) == rows


def test_maps_are_balanced_by_the_classes_of_boxes(cache: Cache, tmp_path: Path) -> None:
    boxes, bev_map = (build_task(config(tmp_path, text), cache, seed=0) for text in (BOXES, MAP))
    rows = [2, 3]
    assert TASK_KINDS[type(bev_map)].rows(bev_map, cache, rows, 0) == rows
    bev_map.class_balanced = True
    assert TASK_KINDS[type(bev_map)].rows(bev_map, cache, rows, 0) == TASK_KINDS[type(boxes)].rows(
        boxes, cache, rows, 0
    )


def test_a_branch_is_initialised_by_name_or_as_the_only_one(cache: Cache, tmp_path: Path) -> None:
    settings = config(tmp_path, MAP)
    pretrained = build_task(settings, cache, seed=7)
    save_weights(tmp_path / "lidar.safetensors", nn.ModuleDict({"backbone": pretrained.backbone.lidar}), {})
    save_weights(tmp_path / "both.safetensors", nn.ModuleDict({"backbone": pretrained.backbone}), {})
    for number, text in enumerate(
        ("lidar=lidar.safetensors", "lidar.safetensors", "both.safetensors", "lidar=both.safetensors")
    ):
        name, _, file = text.rpartition("=")
        init = InitialWeights.parse([f"{name}={tmp_path / file}" if name else str(tmp_path / file)])
        task = build_task(settings, cache, seed=number)
        (loaded,) = init.load(task.backbone, task.backbone)
        assert loaded.report.is_complete
        for key, value in pretrained.backbone.state_dict().items():
            assert torch.equal(task.backbone.state_dict()[key], value), (text, key)


def test_a_run_tells_and_keeps_where_each_part_started(
    cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    settings = config(tmp_path, MAP)
    lidar = build_task(settings, cache, seed=7).backbone.lidar
    save_weights(tmp_path / "lidar.safetensors", nn.ModuleDict({"backbone": lidar}), {})
    init = InitialWeights.parse([f"lidar={tmp_path / 'lidar.safetensors'}"])
    run = finetune(settings, cache, tmp_path / "run", init=init, labels=SPLITS, device="cpu")
    count = len(lidar.state_dict())
    assert f"lidar.safetensors: {count} of {count} lidar tensors match" in capsys.readouterr().out
    assert list(run.settings["init"]) == ["lidar"]
    assert run.origin == f"lidar={tmp_path / 'lidar.safetensors'}"
    with pytest.raises(UserError, match="the result of another run"):
        finetune(settings, cache, tmp_path / "run", labels=SPLITS, device="cpu")


def test_wrong_parts_and_wrong_weights_are_refused(cache: Cache, tmp_path: Path) -> None:
    task = build_task(config(tmp_path, MAP), cache, seed=0)
    save_weights(tmp_path / "other.safetensors", nn.ModuleDict({"backbone": nn.Linear(2, 2)}), {})
    with pytest.raises(UserError, match="BevEncoder has no submodule 'radar'; it has lidar"):
        InitialWeights({"radar": tmp_path / "other.safetensors"}).load(task.backbone, task.backbone)
    with pytest.raises(UserError, match=r"0 of \d+ lidar tensors match, \d+ missing, 2 unexpected; .* another lidar"):
        InitialWeights({"lidar": tmp_path / "other.safetensors"}).load(task.backbone, task.backbone)
    with pytest.raises(UserError, match="--init: lidar is given twice"):
        InitialWeights.parse(["lidar=a", "lidar=b"])


def test_a_probe_of_boxes_is_refused(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task is DetectionTask; a linear probe classifies points .* use finetune"):
        probe(config(tmp_path, BOXES), cache, tmp_path / "run", labels=SPLITS, device="cpu")
    assert not (tmp_path / "run" / "result.json").exists()


def test_tasks_that_do_not_fit_the_cache_are_refused_before_anything_runs(
    cache: Cache, street_cache: Cache, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="classes of boxes are car; NDS needs nuScenes' classes"):
        build_task(config(tmp_path, BOXES), street_cache, seed=0)
    write_manifest(tmp_path, Manifest("toy", "1", {}, {"label": [], "box": []}, {"train": []}, ()))
    with pytest.raises(UserError, match="the cache has no maps"):
        build_task(config(tmp_path, MAP), Cache(tmp_path), seed=0)
    with pytest.raises(UserError, match=r"task\.head\.cell_size is 1\.0, but .*manifest\.json is 0\.5"):
        build_task(config(tmp_path, MAP.replace("in_channels=16)", "in_channels=16, cell_size=1.0)")), cache, seed=0)


def test_a_result_of_older_versions_is_one_of_segmentation(tmp_path: Path) -> None:
    segmentation = {"iou": {"car": 0.5}, "confusion": [[1]], "num_frames": 1}
    fields = {"settings": {}, "paths": {}, "scenes": [], "num_train_frames": 0, "fit": {}, "seconds": {}}
    (tmp_path / "result.json").write_text(json.dumps(fields | {"result": segmentation}))
    assert RunResult.read(tmp_path / "result.json").segmentation.confusion == ((1,),)
    (tmp_path / "result.json").write_text(json.dumps(fields | {"result": segmentation, "measured": "depth"}))
    with pytest.raises(UserError, match="field 'measured' is 'depth', expected one of segmentation, detection"):
        RunResult.read(tmp_path / "result.json")


def test_heads_of_another_size_are_refused(cache: Cache, tmp_path: Path) -> None:
    settings = config(tmp_path, MAP)
    task = build_task(settings, cache, seed=0)
    save_weights(tmp_path / "map.safetensors", task, {})
    assert any(name.startswith("head.") for name in read_tensors(tmp_path / "map.safetensors")[0])
    with pytest.raises(UserError, match="these are the weights of another head"):
        evaluate(config(tmp_path, BOXES), cache, tmp_path / "map.safetensors", tmp_path / "run", split="sim_val")
