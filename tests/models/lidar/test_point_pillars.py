"""PointPillars against a loop over its pillars."""

import pytest
import torch
from torch import Tensor

from pc_ssl.geometry import BevGrid
from pc_ssl.models.lidar import PointPillars
from pc_ssl.structures import PointBatch

GRID = BevGrid((-8.0, -4.0, -2.0), (8.0, 4.0, 2.0), (0.5, 1.0, 4.0))


def network() -> PointPillars:
    torch.manual_seed(0)
    return PointPillars(GRID, 1, 6, (8, 12), (1, 2), 5, level=1)


def cloud(points: int, seed: int = 0) -> Tensor:
    """Some of it outside the grid."""
    spread = torch.tensor([9.0, 4.5, 2.2, 0.5])
    return (torch.rand(points, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * spread


def pillars_by_loop(net: PointPillars, clouds: list[Tensor]) -> Tensor:
    """The scattered map [B, C, H, W], one point and one pillar at a time."""
    bev = torch.zeros(len(clouds), 6, 8, 32)
    for b, points in enumerate(clouds):
        pillars: dict[tuple[int, int], list[Tensor]] = {}
        for point in points:
            x, y, z = point[:3].tolist()
            if -8 <= x < 8 and -4 <= y < 4 and -2 <= z < 2:
                pillars.setdefault((int((y + 4) // 1.0), int((x + 8) // 0.5)), []).append(point)
        for (row, column), members in pillars.items():
            stacked = torch.stack(members)
            centre = torch.tensor([-8 + (column + 0.5) * 0.5, -4 + (row + 0.5) * 1.0])
            decorated = torch.cat([stacked, stacked[:, :3] - stacked[:, :3].mean(0), stacked[:, :2] - centre], dim=1)
            bev[b, :, row, column] = net.norm(net.linear(decorated)).relu().amax(dim=0)
    return bev


def test_the_scattered_map_is_that_of_a_loop() -> None:
    net, clouds, seen = network().eval(), [cloud(150), cloud(80, 1)], {}
    net.norm.running_mean.uniform_(-0.3, 0.3)
    net.neck.register_forward_pre_hook(lambda _, inputs: seen.update(bev=inputs[0]))
    with torch.no_grad():
        features = net(PointBatch.pack(clouds))
        expected = pillars_by_loop(net, clouds)
    assert expected.count_nonzero() > 300
    torch.testing.assert_close(seen["bev"], expected)
    assert features.map.shape == (2, 10, 2, 8)  # 8 rows and 32 columns, at the second stage of stride 2


def padded_pillars_by_loop(net: PointPillars, clouds: list[Tensor], limit: int) -> Tensor:
    """As above with two layers and the offset along z, over pillars padded to `limit` points with rows of zeros."""
    first, first_norm = net.first_layers[0].linear, net.first_layers[0].norm
    bev = torch.zeros(len(clouds), 6, 8, 32)
    for b, points in enumerate(clouds):
        pillars: dict[tuple[int, int], list[Tensor]] = {}
        for point in points:
            x, y, z = point[:3].tolist()
            if -8 <= x < 8 and -4 <= y < 4 and -2 <= z < 2:
                pillars.setdefault((int((y + 4) // 1.0), int((x + 8) // 0.5)), []).append(point)
        for (row, column), members in pillars.items():
            stacked = torch.stack(members[:limit])
            centre = torch.tensor([-8 + (column + 0.5) * 0.5, -4 + (row + 0.5) * 1.0, 0.0])
            parts = [stacked, stacked[:, :3] - stacked[:, :3].mean(0), stacked[:, :3] - centre]
            padded = torch.zeros(limit, 10)
            padded[: len(stacked)] = torch.cat(parts, dim=1)
            hidden = first_norm(first(padded)).relu()
            joined = torch.cat([hidden, hidden.amax(0).expand(limit, -1)], dim=1)
            bev[b, :, row, column] = net.norm(net.linear(joined)).relu().amax(dim=0)
    return bev


def test_two_layers_over_padded_pillars_are_those_of_a_loop() -> None:
    torch.manual_seed(0)
    net = PointPillars(GRID, 1, 6, (8, 12), (1, 2), 5, point_layers=2, height_offset=True, max_points=2).eval()
    for norm in (net.norm, net.first_layers[0].norm):
        norm.running_mean.uniform_(-0.5, 0.1)  # so that the rows of zeros win some maxima
    clouds = [cloud(400), cloud(80, 1)]
    with torch.no_grad():
        expected = padded_pillars_by_loop(net, clouds, 2)
        torch.testing.assert_close(net.encode(PointBatch.pack(clouds)), expected)
        net.max_points = None
        assert not torch.allclose(net.encode(PointBatch.pack(clouds)), expected, atol=1e-2)


@pytest.mark.parametrize(("level", "shape"), [(0, (4, 16)), (1, (2, 8))])
def test_the_map_has_the_resolution_of_its_level(level: int, shape: tuple[int, int]) -> None:
    net = PointPillars(GRID, 1, 6, (8, 12), (1, 1), 5, level)
    assert net(PointBatch.pack([cloud(100)])).map.shape == (1, 10, *shape)
    assert net.out_channels == 10


def test_a_frame_without_points_gives_a_map() -> None:
    net = network().eval()
    with torch.no_grad():
        together = net(PointBatch.pack([cloud(100), torch.zeros(0, 4)])).map
        alone = net(PointBatch.pack([cloud(100)])).map
    torch.testing.assert_close(together[:1], alone)


def test_all_parameters_get_a_gradient_in_bfloat16_too() -> None:
    for enabled in (False, True):
        net = network()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            features = net(PointBatch.pack([cloud(200)]))
        features.map.float().square().sum().backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"neck_layers": (1,)},
        {"level": 2},
        {"neck_channels": (4,) * 4},
        {"point_layers": 0},
        {"point_layers": 2, "pillar_channels": 7},
        {"max_points": 0},
    ],
)
def test_widths_that_do_not_fit_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="PointPillars"):
        PointPillars(GRID, 1, **{"neck_channels": (8, 8), "neck_layers": (1, 1), **wrong})


def test_a_cloud_outside_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="none of 10 points"):
        network()(PointBatch.pack([cloud(10) + 100]))
