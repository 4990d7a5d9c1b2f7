import pytest
import torch
from torch import nn

from pc_ssl.geometry import BevGrid
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.fusion import BevEncoder, ConvFuser, NeckFuser
from pc_ssl.models.lidar import SECOND, SparseUNet
from pc_ssl.structures import CameraBatch, PointBatch

GRID = BevGrid((-8.0, -8.0, -3.0), (8.0, 8.0, 5.0), (1.0, 1.0, 1.0))


class Branch(nn.Module):
    """A learned map of a size of its own."""

    point_features = 1

    def __init__(self, channels: int, cells: int, grid: BevGrid = GRID) -> None:
        super().__init__()
        self.out_channels, self.grid = channels, grid
        self.map = nn.Parameter(torch.randn(channels, cells, cells))

    def forward(self, sensor: object, points: object = None) -> BevFeatures:
        return BevFeatures(self.map.expand(2, -1, -1, -1), self.grid)


POINTS = PointBatch.pack([torch.zeros(1, 4), torch.zeros(1, 4)])
CAMERAS = CameraBatch(torch.zeros(2, 1, 3, 8, 8), torch.eye(3).expand(2, 1, 3, 3), torch.eye(4).expand(2, 1, 4, 4),
                      torch.ones(2, 1, dtype=torch.bool))  # fmt: skip


def test_one_branch_alone_gives_its_map() -> None:
    lidar, camera = Branch(4, 16), Branch(6, 8)
    assert torch.equal(BevEncoder(lidar=lidar)(POINTS, None).map[0], lidar.map)
    encoder = BevEncoder(camera=camera)
    assert torch.equal(encoder(None, CAMERAS).map[1], camera.map)
    assert (encoder.out_channels, encoder.point_features, encoder.uses_cameras) == (6, None, True)


def test_the_fused_map_has_the_lidars_resolution_and_reaches_both_branches() -> None:
    lidar, camera = Branch(4, 16), Branch(6, 8)
    encoder = BevEncoder(lidar, camera, ConvFuser(4, 6, 5))
    fused = encoder(POINTS, CAMERAS)
    assert fused.map.shape == (2, 5, 16, 16)
    fused.map.sum().backward()
    assert lidar.map.grad is not None
    assert camera.map.grad is not None


def test_the_cameras_map_stays_where_it_was_when_it_is_resampled() -> None:
    fuser = ConvFuser(1, 1, 1)
    seen = {}
    fuser.mix.register_forward_pre_hook(lambda _, inputs: seen.update(joined=inputs[0]))
    ramp = torch.linspace(-1, 1, 8).expand(1, 1, 8, 8)
    fuser(torch.zeros(1, 1, 4, 4), ramp)
    torch.testing.assert_close(seen["joined"][0, 1, 0, 1:3], torch.tensor([-0.2857, 0.2857]), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "needs a lidar or a camera"),
        ({"lidar": Branch(4, 8), "camera": Branch(4, 8)}, "a fuser joins two branches"),
        ({"lidar": Branch(4, 8), "fuser": ConvFuser(4, 4, 4)}, "only then"),
        ({"lidar": Branch(4, 8), "camera": Branch(6, 8), "fuser": ConvFuser(4, 4, 4)}, "the fuser takes"),
        ({"lidar": SparseUNet((0.4, 0.4, 0.4), 1, 8, (8, 16), (1, 1), (16, 8), (1, 1))}, "gives no BEV map"),
        (
            {"lidar": Branch(4, 8), "fuser": ConvFuser(4, 4, 4),
             "camera": Branch(4, 8, BevGrid((-4.0, -4.0, -3.0), (4.0, 4.0, 5.0), (1.0, 1.0, 1.0)))},
            "cover different ground",
        ),
    ],
)  # fmt: skip
def test_branches_that_do_not_fit_are_refused(parts: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BevEncoder(**parts)


def test_a_branch_without_its_sensor_is_reported() -> None:
    with pytest.raises(ValueError, match="needs points"):
        BevEncoder(lidar=Branch(4, 8))(None, CAMERAS)
    with pytest.raises(ValueError, match="needs images"):
        BevEncoder(camera=Branch(4, 8))(POINTS, None)


def test_fusion_before_the_neck_reads_the_encoders_map_and_keeps_the_necks_channels() -> None:
    """With a fuser that passes the LiDAR's map on, the result is the LiDAR branch's own."""
    torch.manual_seed(0)
    lidar = SECOND(GRID, 1, (4, 4), (1, 1), (6,), (1,), 8)
    camera = Branch(6, 4)
    encoder = BevEncoder(lidar, camera, NeckFuser(lidar.encoded_channels, 6)).eval()
    assert encoder.out_channels == lidar.out_channels == 8
    points = PointBatch.pack([torch.rand(50, 4) * 8, torch.rand(50, 4) * 8])
    convolution, norm, _ = encoder.fuser.mix
    with torch.no_grad():
        fused = encoder(points, CAMERAS).map
        assert not torch.allclose(fused, lidar(points).map)
        convolution.weight.zero_()
        convolution.weight[:, : lidar.encoded_channels, 1, 1] = torch.eye(lidar.encoded_channels)
        norm.eps = 0.0
        torch.testing.assert_close(encoder(points, CAMERAS).map, lidar(points).map)


def test_fusion_before_a_neck_needs_one() -> None:
    with pytest.raises(ValueError, match="no neck"):
        BevEncoder(Branch(4, 16), Branch(6, 8), NeckFuser(4, 6))
    with pytest.raises(ValueError, match="channels"):
        BevEncoder(SECOND(GRID, 1, (4, 4), (1, 1), (6,), (1,), 8), Branch(6, 8), NeckFuser(5, 6))
