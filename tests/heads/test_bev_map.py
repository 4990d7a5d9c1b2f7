import numpy as np
import pytest
import torch
from torch import nn

from pc_ssl.errors import UserError
from pc_ssl.geometry import BevGrid
from pc_ssl.heads.bev_map import BevMapHead, MapTask
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.ops import region_pool
from pc_ssl.structures import BevMap, PointBatch, Scene
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

GRID = BevGrid((-12.0, -12.0, -2.0), (12.0, 12.0, 2.0), (1.0, 1.0, 4.0))
CLASSES = ("road", "walkway")


class Painted(nn.Module):
    """A LiDAR backbone that gives each cell the mean feature of its points."""

    out_channels, point_features, grid = 4, 1, GRID

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, points: PointBatch) -> BevFeatures:
        cell, inside = GRID.voxel_of(points.xyz)
        place = torch.where(inside, (points.frame_index() * 24 + cell[:, 1]) * 24 + cell[:, 0], -1)
        seen = region_pool(points.points[:, 3:], place, points.num_frames * 24 * 24)
        return BevFeatures(self.mix(seen.reshape(-1, 1, 24, 24)), GRID)


def scene(seed: int) -> Scene:
    """A road along y that reflects, on a map of +-10 m with cells of 0.5 m."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-12, 12, (3000, 2))
    edge = rng.uniform(-4, 4)
    road = np.abs(xy[:, 0] - edge) < 4
    points = np.column_stack([xy, np.zeros(3000), np.where(road, 1.0, 0.2)]).astype(np.float32)
    x = (np.arange(40) + 0.5) * 0.5 - 10
    mask = np.stack([np.broadcast_to(np.abs(x - edge) < 4, (40, 40)), np.broadcast_to(np.abs(x - edge) >= 4, (40, 40))])
    return Scene(
        "frame", torch.from_numpy(points), torch.full((3000,), -1, dtype=torch.int32), 0,
        bev_map=torch.from_numpy(mask.copy()), bev_map_reach=10.0,
    )  # fmt: skip


def task() -> MapTask:
    torch.manual_seed(0)
    views = SensorViews(Augmentation(rotation=0.3, shift=0.5), bev_map=True)
    return MapTask(BevEncoder(lidar=Painted()), BevMapHead(4, CLASSES, reach=10.0), views)


def batch(model: MapTask, *seeds: int):
    return model.collate([model.views(scene(seed), np.random.default_rng(seed)) for seed in seeds])


def test_features_are_read_at_the_centres_of_the_maps_cells() -> None:
    head = BevMapHead(2, ("a", "b"), reach=10.0, cell_size=0.5)
    head.classifier = nn.Identity()
    centre = torch.arange(24.0) + 0.5 - 12
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    found = head(BevFeatures(torch.stack([x, y])[None], GRID))[0]
    place = (torch.arange(40) + 0.5) * 0.5 - 10
    torch.testing.assert_close(found[0], place.expand(40, 40), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], place[:, None].expand(40, 40), atol=1e-5, rtol=0)


def test_the_loss_is_a_mean_over_known_cells_added_over_classes() -> None:
    model = task()
    data = batch(model, 0, 1)
    terms = model(data)
    p = model._logits(data).detach().double().sigmoid()
    assert data.bev_map is not None
    assert 0 < data.bev_map.known.float().mean() < 1
    for k, name in enumerate(CLASSES):
        total, count = 0.0, 0
        for b, row, column in data.bev_map.known.nonzero().tolist():
            q = float(p[b, k, row, column])
            right = q if data.bev_map.mask[b, k, row, column] else 1 - q
            total -= (1 - right) ** 2 * np.log(right)
            count += 1
        assert terms[name].item() == pytest.approx(total / count, rel=1e-4)
    torch.testing.assert_close(terms["loss"].detach(), terms["road"] + terms["walkway"])


def test_unknown_cells_change_nothing() -> None:
    model = task()
    data = batch(model, 0)
    before = model(data)["loss"]
    assert data.bev_map is not None
    data.bev_map.mask[:] = torch.where(data.bev_map.known[:, None], data.bev_map.mask, ~data.bev_map.mask)
    assert torch.equal(model(data)["loss"], before)


def test_frames_without_any_known_cell_give_a_connected_zero() -> None:
    model = task()
    data = batch(model, 0)
    assert data.bev_map is not None
    data.bev_map.known[:] = False
    loss = model(data)["loss"]
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None for p in model.parameters())


def test_a_toy_map_is_learned_and_predicted() -> None:
    model = task()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        loss = model(batch(model, 2 * step, 2 * step + 1))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    model.eval()
    data = batch(model, 1001, 1002)
    found = model.predict(data)
    assert found.shape == (2, 2, 40, 40)
    assert ((found >= 0) & (found <= 1)).all()
    assert data.bev_map is not None
    known = data.bev_map.known[:, None].expand_as(found)
    assert ((found > 0.5) == data.bev_map.mask)[known].float().mean() > 0.9


def test_a_map_of_another_grid_is_refused() -> None:
    model = task()
    data = batch(model, 0)
    assert data.bev_map is not None
    other = BevMap(data.bev_map.mask[:, :, :20, :20], data.bev_map.known[:, :20, :20])
    object.__setattr__(data, "bev_map", other)
    with pytest.raises(UserError, match="2 classes of 20 x 20 cells, the head 2 of 40 x 40"):
        model(data)


def test_parts_that_do_not_fit_are_refused() -> None:
    encoder = BevEncoder(lidar=Painted())
    with pytest.raises(ValueError, match="the backbone gives 4"):
        MapTask(encoder, BevMapHead(5, CLASSES), SensorViews(bev_map=True))
    with pytest.raises(ValueError, match="views"):
        MapTask(encoder, BevMapHead(4, CLASSES), SensorViews())
    with pytest.raises(ValueError, match="is not a whole number"):
        BevMapHead(4, CLASSES, reach=10.0, cell_size=0.3)


def test_hidden_layers_may_be_narrower_than_the_features() -> None:
    narrow = BevMapHead(8, CLASSES, reach=10.0, cell_size=0.5, hidden_channels=2).eval()
    widths = [(m.in_channels, m.out_channels) for m in narrow.classifier if isinstance(m, nn.Conv2d)]
    assert widths == [(8, 2), (2, 2), (2, 2)]
    wide = BevMapHead(8, CLASSES, reach=10.0, cell_size=0.5)
    assert [m.out_channels for m in wide.classifier if isinstance(m, nn.Conv2d)] == [8, 8, 2]
    assert narrow(BevFeatures(torch.rand(1, 8, 24, 24), GRID)).shape == (1, 2, 40, 40)
