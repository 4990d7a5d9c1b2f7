import pytest
import torch

from pc_ssl.geometry import BevGrid
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.lidar import SECOND
from pc_ssl.structures import PointBatch

GRID = BevGrid((-8.0, -4.0, -2.0), (8.0, 4.0, 2.0), (0.25, 0.25, 0.5))


def network() -> SECOND:
    torch.manual_seed(0)
    return SECOND(GRID, 1, (8, 8, 16), (1, 1, 1), (16, 24), (1, 1), 12)


def cloud(points: int, seed: int = 0) -> torch.Tensor:
    low, high = torch.tensor([-8.0, -4.0, -2.0, 0.0]), torch.tensor([8.0, 4.0, 2.0, 1.0])
    return low + torch.rand(points, 4, generator=torch.Generator().manual_seed(seed)) * (high - low)


def test_map_is_the_grid_at_the_stride_of_the_sparse_stages() -> None:
    features = network()(PointBatch.pack([cloud(300), cloud(200, 1)]))
    assert isinstance(features, BevFeatures)
    assert features.map.shape == (2, 24, 8, 16)  # 32 rows along y and 64 columns along x, divided by 4
    assert network().out_channels == 24


def test_points_beyond_the_grid_change_nothing() -> None:
    net, inside = network().eval(), cloud(300)
    beyond = inside[:50] + torch.tensor([0.0, 30.0, 0.0, 0.0])
    with torch.no_grad():
        alone = net(PointBatch.pack([inside])).map
        together = net(PointBatch.pack([torch.cat([inside, beyond])])).map
    torch.testing.assert_close(together, alone)


def test_frames_of_a_batch_do_not_see_each_other_in_eval_mode() -> None:
    net = network().eval()
    with torch.no_grad():
        alone = net(PointBatch.pack([cloud(300)])).map
        together = net(PointBatch.pack([cloud(300), cloud(100, 1)])).map
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_order_of_points_does_not_matter() -> None:
    net, points = network().eval(), cloud(300)
    with torch.no_grad():
        torch.testing.assert_close(
            net(PointBatch.pack([points.flip(0)])).map, net(PointBatch.pack([points])).map, rtol=1e-4, atol=1e-5
        )


def test_a_feature_sits_where_its_points_are() -> None:
    """Points in one corner alone: the map differs from that of an almost empty cloud there, and not far away."""
    net = network().eval()
    lone = torch.tensor([[7.9, 3.9, 0.0, 0.5]])
    corner = torch.cat([lone, torch.rand(200, 4) * 0.5 + torch.tensor([-8.0, -4.0, 0.0, 0.0])])
    with torch.no_grad():
        difference = (net(PointBatch.pack([corner])).map - net(PointBatch.pack([lone])).map).abs().amax(dim=(0, 1))
    assert difference[0, 0] > 1e6 * difference[-1, -1]


def test_all_parameters_get_a_gradient() -> None:
    net = network()
    net(PointBatch.pack([cloud(400)])).map.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"stage_blocks": (1,)},
        {"neck_layers": (1,)},
        {"z_paddings": (1,)},
        {"block": "dense"},
        {"z_paddings": (0,) * 4},
        {"stage_channels": (8,) * 7, "stage_blocks": (1,) * 7},
    ],
)
def test_widths_that_do_not_fit_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="SECOND"):
        SECOND(GRID, 1, **wrong)


@pytest.mark.parametrize(
    ("slices", "options", "left"),
    [
        (40, {}, 3),  # 40 20 10 5 3
        (40, {"extra_slice": True}, 3),  # 41 21 11 6 3
        (40, {"extra_slice": True, "z_paddings": (1, 1, 0, 0)}, 2),  # 41 21 11 5 2, OpenPCDet's
        (40, {"z_paddings": (1, 1, 1, 0)}, 2),  # 40 20 10 5 2
    ],
)
def test_slices_that_are_folded_into_channels(slices: int, options: dict, left: int) -> None:
    grid = BevGrid((-8.0, -4.0, -2.0), (8.0, 4.0, 2.0), (0.25, 0.25, 4 / slices))
    net = SECOND(grid, 1, (4, 4, 4, 8), (1, 1, 1, 1), (4,), (1,), 4, height_channels=6, **options)
    assert net.encoded_channels == 6 * left
    assert net.encode(PointBatch.pack([cloud(100)])).shape == (1, 6 * left, 4, 8)


def test_residual_blocks_follow_one_convolution_in_the_first_stage() -> None:
    net = SECOND(GRID, 1, (8, 8), (2, 1), (16,), (1,), 12, block="residual")
    kinds = [type(stage).__name__ for stage in net.stages]
    assert kinds == ["SubmanifoldBlock", "ResidualBlock", "ResidualBlock", "DownBlock", "ResidualBlock", "HeightBlock"]


def test_batch_norms_have_the_constants_asked_for() -> None:
    net = SECOND(GRID, 1, (8, 8), (1, 1), (16,), (1,), 12, norm_eps=1e-3, norm_momentum=0.01)
    norms = [module for module in net.modules() if "Norm" in type(module).__name__]
    assert len(norms) == 6
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    with pytest.raises(ValueError, match="eps"):
        SECOND(GRID, 1, norm_eps=0.0)


def test_a_cloud_outside_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="none of 10 points"):
        network()(PointBatch.pack([cloud(10) + 100]))
