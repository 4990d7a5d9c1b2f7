import pytest
import torch

from pc_ssl.models.features import PointFeatures
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.structures import PointBatch


def network() -> SparseUNet:
    torch.manual_seed(0)
    return SparseUNet((0.2, 0.2, 0.2), 1, 8, (8, 16, 16), (1, 1, 1), (16, 12, 12), (1, 1, 1))


def cloud(points: int, seed: int = 0) -> torch.Tensor:
    low, high = torch.tensor([-4.0, -4.0, -1.0, 0.0]), torch.tensor([4.0, 4.0, 1.0, 1.0])
    return low + torch.rand(points, 4, generator=torch.Generator().manual_seed(seed)) * (high - low)


def at_points(net: SparseUNet, clouds: list[torch.Tensor]) -> torch.Tensor:
    points = PointBatch.pack(clouds)
    return net(points).at_points(points)


def test_every_point_gets_a_feature() -> None:
    clouds = [cloud(500), cloud(300, 1)]
    features = network()(PointBatch.pack(clouds))
    assert isinstance(features, PointFeatures)
    assert len(features.feature) < 800  # one for each voxel
    assert at_points(network(), clouds).shape == (800, 12)


def test_points_of_one_voxel_share_their_feature() -> None:
    net = network().eval()
    points = torch.cat([torch.tensor([[0.01, 0.01, 0.01, 0.2], [0.15, 0.12, 0.19, 0.9]]), cloud(200)])
    with torch.no_grad():
        feature = at_points(net, [points])
    assert torch.equal(feature[0], feature[1])
    assert not torch.equal(feature[0], feature[2])


def test_far_points_and_other_frames_change_nothing_in_eval_mode() -> None:
    net, points = network().eval(), cloud(300)
    far = cloud(100, 2) + torch.tensor([61.3, -47.1, 3.0, 0.0])
    with torch.no_grad():
        alone = at_points(net, [points])
        together = at_points(net, [torch.cat([points, far]), cloud(50, 3)])
    torch.testing.assert_close(together[:300], alone, rtol=1e-4, atol=1e-5)


def test_order_of_points_is_the_order_of_features() -> None:
    net, points = network().eval(), cloud(300)
    with torch.no_grad():
        turned = at_points(net, [points.flip(0)])
        torch.testing.assert_close(turned.flip(0), at_points(net, [points]), rtol=1e-4, atol=1e-5)


def test_all_parameters_get_a_gradient() -> None:
    net = network()
    net(PointBatch.pack([cloud(500)])).feature.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def test_default_is_the_size_of_minkunet34() -> None:
    millions = sum(p.numel() for p in SparseUNet().parameters()) / 1e6
    assert 36 < millions < 39  # 37.9 million in SLidR's and its successors' networks


def test_one_entry_a_level_is_needed() -> None:
    with pytest.raises(ValueError, match="channels and blocks"):
        SparseUNet(encoder_channels=(8, 16), encoder_blocks=(1,), decoder_channels=(16, 8), decoder_blocks=(1, 1))


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="0 points"):
        network()(PointBatch.pack([torch.zeros(0, 4)]))


def test_a_stem_of_one_layer_on_cylindrical_voxels_of_their_first_features() -> None:
    """Points of one distance, azimuth and height share a voxel though they are metres apart along x and y."""
    net = SparseUNet(
        (50.0, 10.0, 2.0), 1, 8, (8,), (1,), (12,), (1,), stem_layers=1, coordinates="cylindrical",
        voxel_features="first_features",
    ).eval()  # fmt: skip
    assert net.stem[0].convolution.weight.shape == (8, 3, 3, 3, 1)
    assert len(net.stem) == 1
    points = torch.tensor([[30.0, 0.5, 0.1, 0.3], [40.0, 0.9, 0.2, 0.8], [0.5, 30.0, 0.1, 0.3]])
    with torch.no_grad():
        feature = at_points(net, [points])
    assert torch.equal(feature[0], feature[1])


@pytest.mark.parametrize("wrong", [{"stem_layers": 0}, {"coordinates": "polar"}, {"voxel_features": "median"}])
def test_options_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        SparseUNet(**wrong)
