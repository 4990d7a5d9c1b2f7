from dataclasses import replace

import pytest
import torch
from torch import nn

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.methods.bev_distill import BEVDistill
from pc_ssl.methods.rad import RAD
from pc_ssl.models.networks import grids_of
from pc_ssl.structures import SensorBatch
from pc_ssl.views.drawn import DrawnViews


def batch(cache: Cache, method: nn.Module, frames: int = 3, region: str | None = "dbscan") -> SensorBatch:
    dataset = CacheScenes(cache, range(frames), region, method.views, grids=grids_of(method))
    return method.collate([dataset[Draw(row, 0, 0)] for row in range(frames)])


@pytest.fixture(params=["learned", "feature", "bev_distill"])
def method(request: pytest.FixtureRequest, toy_camera: nn.Module, second: nn.Module, drawn_views: DrawnViews) -> object:
    torch.manual_seed(0)
    if request.param == "bev_distill":
        return BEVDistill(toy_camera, second, drawn_views)
    return RAD(toy_camera, second, drawn_views, 32, 16, teacher_space=request.param)


def test_the_student_learns_and_the_teacher_gets_no_gradient(street_cache: Cache, method: nn.Module) -> None:
    sensors = batch(street_cache, method, frames=1)
    teacher = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(30):
        terms = method(sensors)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is not None for p in method.backbone.parameters())
    assert all(p.grad is None for p in method.teacher.parameters())
    for name, value in method.teacher.state_dict().items():  # batch norm's averages among them
        assert torch.equal(value, teacher[name]), name


def test_without_regions_training_goes_on(street_cache: Cache, method: nn.Module) -> None:
    terms = method(batch(street_cache, method, region=None))
    terms["loss"].backward()
    assert terms["loss"].item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in method.backbone.parameters())


def test_without_any_point_training_goes_on(street_cache: Cache, method: nn.Module) -> None:
    sensors = batch(street_cache, method)
    sensors = replace(sensors, drawn=sensors.drawn[:0])
    terms = method(sensors)
    terms["loss"].backward()
    assert terms["loss"].item() == 0
    assert all(bool(value.isfinite()) for value in terms.values())


def test_a_missing_camera_is_tolerated(street_cache: Cache, method: nn.Module) -> None:
    sensors = batch(street_cache, method)
    assert sensors.cameras is not None
    sensors.cameras.present[:, 0] = False
    assert bool(method(sensors)["loss"].isfinite())


def test_losses_agree_under_autocast(street_cache: Cache, method: nn.Module) -> None:
    sensors = batch(street_cache, method)
    full = method(sensors)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        half = method(sensors)["loss"]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=0.05)


def test_drawn_points_lie_in_the_boxes_of_both_networks(street_cache: Cache, method: nn.Module) -> None:
    sensors = batch(street_cache, method)
    assert sensors.drawn is not None
    assert len(sensors.drawn) > 100
    for grid in (method.backbone.grid, method.teacher.grid):
        assert grid.voxel_of(sensors.points.xyz[sensors.drawn])[1].all()
    frame = sensors.points.frame_index()[sensors.drawn]
    assert set(frame.tolist()) == {0, 1, 2}


def test_weighting_by_points_is_another_loss(
    street_cache: Cache, toy_camera: nn.Module, second: nn.Module, drawn_views: DrawnViews
) -> None:
    values = []
    for weighting in ("region", "point"):
        torch.manual_seed(0)
        rad = RAD(toy_camera, second, drawn_views, weighting=weighting)
        values.append(rad(batch(street_cache, rad))["loss"].item())
    assert values[0] != values[1]
