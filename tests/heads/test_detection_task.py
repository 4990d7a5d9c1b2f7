"""The detection task on a synthetic frame, with a sparse backbone under it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.geometry import BevGrid
from pc_ssl.heads.attributes import ATTRIBUTES
from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.heads.transfusion import TransFusionHead
from pc_ssl.models.camera import DepthBins, LiftSplat, RandomResNet
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.models.lidar import SECOND
from pc_ssl.structures import Boxes3D, CameraBatch
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.sensors import SensorViews

GRID = BevGrid((-12.8, -25.6, -3.0), (12.8, 25.6, 5.0), (0.4, 0.4, 0.5))


def backbone() -> BevEncoder:
    torch.manual_seed(0)
    return BevEncoder(
        lidar=SECOND(GRID, stage_channels=(8, 16), stage_blocks=(1, 1), neck_channels=(16, 16), neck_layers=(1, 1),
                     upsampled_channels=16)
    )  # fmt: skip


def center_point() -> CenterPointHead:
    return CenterPointHead(32, ("car",), (("car",),), shared_channels=16)


def transfusion() -> TransFusionHead:
    return TransFusionHead(
        32, ("car",), (), channels=16, queries=20, attention_heads=2, hidden_channels=16, dropout=0.0
    )


@pytest.mark.parametrize(("head", "steps"), [(center_point, 100), (transfusion, 250)])
def test_one_frame_is_overfitted_and_its_boxes_are_found(street_cache: Cache, head, steps: int) -> None:
    task = DetectionTask(backbone(), head(), SensorViews(boxes=True))
    scenes = CacheScenes(street_cache, street_cache.indices("train")[:1], None, task.views)
    batch = task.collate([scenes[Draw(0, 0, 0)]])
    optimizer = torch.optim.Adam(task.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = task(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    task.train()  # the statistics of this very frame: a hundred steps are too few for running ones
    (found,) = task.predict(batch)
    assert batch.boxes is not None
    truth = batch.boxes[0]
    best = found[torch.arange(len(truth))]
    distance, order = torch.cdist(truth.box[:, :2], best.box[:, :2]).min(dim=1)
    assert sorted(order.tolist()) == list(range(len(truth)))
    assert distance.max() < 0.5
    assert (best.box[order, 3:6] / truth.box[:, 3:6]).log().abs().max() < 0.3
    assert best.attribute is not None
    assert {ATTRIBUTES[index] for index in best.attribute.tolist()} <= {"vehicle.parked", "vehicle.moving"}


def test_predictions_are_sorted_and_few(street_cache: Cache) -> None:
    task = DetectionTask(
        backbone(), CenterPointHead(32, ("car",), (("car",),), score_threshold=0.0), SensorViews(boxes=True)
    )
    scenes = CacheScenes(street_cache, street_cache.indices("train"), None, task.views)
    batch = task.eval().collate([scenes[Draw(0, 0, 0)], scenes[Draw(1, 0, 0)]])
    found = task.predict(batch)
    assert len(found) == 2
    for boxes in found:
        assert boxes.score is not None
        assert boxes.attribute is not None
        assert 0 < len(boxes) <= 500
        assert (boxes.score.diff() <= 0).all()
        assert not boxes.score.requires_grad


def test_what_is_saved_is_backbone_and_head_alone() -> None:
    task = DetectionTask(backbone(), center_point(), SensorViews(boxes=True))
    assert {name.split(".")[0] for name in task.state_dict()} == {"backbone", "head"}
    assert not any("group_of" in name for name in task.state_dict())


def test_a_frame_without_boxes_trains_on(street_cache: Cache) -> None:
    task = DetectionTask(backbone(), center_point(), SensorViews(boxes=True))
    scenes = CacheScenes(street_cache, street_cache.indices("train"), None, task.views)
    sample = scenes[Draw(0, 0, 0)]
    object.__setattr__(sample, "boxes", Boxes3D(torch.zeros(0, 9), torch.zeros(0, dtype=torch.long)))
    loss = task(task.collate([sample]))["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in task.parameters())


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"head\.in_channels is 16, the backbone gives 32"):
        DetectionTask(backbone(), CenterPointHead(16, ("car",), (("car",),)), SensorViews(boxes=True))
    with pytest.raises(ValueError, match="views"):
        DetectionTask(backbone(), center_point(), SensorViews())


def test_a_view_moves_boxes_and_points_alike(street_cache: Cache) -> None:
    from pc_ssl.geometry import points_in_boxes
    from pc_ssl.views.lidar import Augmentation

    still, moved = (
        CacheScenes(street_cache, street_cache.indices("train"), None, SensorViews(augmentation, boxes=True))[
            Draw(0, 1, 0)
        ]
        for augmentation in (None, Augmentation())
    )
    inside = [points_in_boxes(s.points[:, :3].numpy(), s.boxes.box.numpy()).sum(axis=1) for s in (still, moved)]
    assert np.abs(inside[0] - inside[1]).max() <= 1  # a point on a face may fall on either side


def fused_task(head) -> DetectionTask:
    """On the street's points and its one camera."""
    image = RandomResNet((8, 16), (1, 1), stem_channels=8, bottleneck=False, stages=(1, 2))
    flat = BevGrid(GRID.lower, GRID.upper, (0.8, 0.8, 8.0))
    camera = LiftSplat(image, flat, DepthBins(1.0, 26.0, 1.0), 8, 8, (8, 8), (1, 1), 8)
    encoder = BevEncoder(backbone().lidar, camera, ConvFuser(32, camera.out_channels, 32))
    return DetectionTask(encoder, head(), SensorViews(images=ImageAugmentation(80, 48, (1.0, 1.0)), boxes=True))


def far_above(cameras: CameraBatch) -> CameraBatch:
    """The same cameras 50 metres above the map: their frustums do not meet it."""
    camera_from_view = cameras.camera_from_view.clone()
    camera_from_view[..., :3, 3] -= camera_from_view[..., :3, :3] @ torch.tensor([0.0, 0.0, 50.0])
    return replace(cameras, camera_from_view=camera_from_view)


def without(cameras: CameraBatch, frames: int) -> CameraBatch:
    """The same cameras, but none in the first `frames` frames."""
    present = cameras.present.clone()
    present[:frames] = False
    return replace(cameras, present=present)


@pytest.mark.parametrize("head", [center_point, transfusion])
@pytest.mark.parametrize(
    ("change", "learns"),
    [(lambda c: c, True), (lambda c: without(c, 1), True), (lambda c: without(c, 2), False), (far_above, False)],
    ids=["all", "one missing", "none", "no hit"],
)
def test_the_fused_task_trains_whatever_the_cameras_see(street_cache: Cache, head, change, learns: bool) -> None:
    """Every parameter has a finite gradient, and that of the images is zero where nothing of them is on the map."""
    task = fused_task(head)
    scenes = CacheScenes(street_cache, street_cache.indices("train"), None, task.views)
    batch = task.collate([scenes[Draw(0, 0, 0)], scenes[Draw(1, 0, 0)]])
    assert batch.cameras is not None
    batch = replace(batch, cameras=change(batch.cameras))
    loss = task(batch)["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.parameters())
    of_images = [p.grad.abs().max() for p in task.backbone.camera.lift.parameters()]
    assert (max(of_images) > 0) == learns
    of_points = [p.grad.abs().max() for p in task.backbone.lidar.parameters()]
    assert max(of_points) > 0
    assert len(task.eval().predict(batch)) == 2


@pytest.mark.parametrize("head", [center_point, transfusion])
def test_the_loss_of_the_fused_task_falls_under_bfloat16(street_cache: Cache, head) -> None:
    task = fused_task(head)
    scenes = CacheScenes(street_cache, street_cache.indices("train"), None, task.views)
    batch = task.collate([scenes[Draw(0, 0, 0)], scenes[Draw(1, 0, 0)]])
    optimizer, losses = torch.optim.Adam(task.parameters(), lr=5e-3), []
    for _ in range(20):
        with torch.autocast("cpu", torch.bfloat16):
            loss = task(batch)["loss"]
        assert loss.dtype == torch.float32
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0], losses
