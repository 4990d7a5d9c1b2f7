"""Layouts against convolutions: spconv's, torch's, and sums over the offsets that other libraries list."""

import itertools

import pytest
import spconv.pytorch as spconv
import torch
from spconv.core import ConvAlgo
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv3d, conv_transpose2d

from pc_ssl.interop import layouts
from pc_ssl.interop.layouts import Layout

SHAPE = (5, 4, 3)  # z, y, x


def full_grid(channels: int) -> tuple[Tensor, Tensor]:
    """Every voxel of SHAPE: features [V, C] and indices (frame, z, y, x)."""
    index = torch.tensor([(0, *p) for p in itertools.product(*map(range, SHAPE))], dtype=torch.int32)
    return torch.randn(len(index), channels, generator=torch.Generator().manual_seed(0)), index


def ours(weight: Tensor, feature: Tensor, index: Tensor) -> Tensor:
    """[V, out] of a submanifold convolution with a weight of ours."""
    layer = spconv.SubMConv3d(weight.shape[-1], weight.shape[0], 3, bias=False, algo=ConvAlgo.Native)
    layer.weight.data = weight.contiguous()
    return layer(spconv.SparseConvTensor(feature, index, list(SHAPE), 1)).features.detach()


def dense(feature: Tensor) -> Tensor:
    return feature.reshape(1, *SHAPE, -1).permute(0, 4, 1, 2, 3)


def test_ours_is_torchs_convolution_with_axes_z_y_x() -> None:
    feature, index = full_grid(3)
    weight = torch.randn(4, 3, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    expected = conv3d(dense(feature), weight.permute(0, 4, 1, 2, 3), padding=1)
    torch.testing.assert_close(dense(ours(weight, feature, index)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layout", "axes"),
    [
        (layouts.KRSC_XYZ, "oxyzi"),
        (layouts.RSCK_ZYX, "zyxio"),
        (layouts.RSCK_XYZ, "xyzio"),
        (layouts.KRSC_ZYX, "ozyxi"),
    ],
)
def test_axes_of_cubes(layout: Layout, axes: str) -> None:
    """Entry (o, z, y, x, i) of ours is the entry of the peer's whose axes have these letters."""
    sizes = {"o": 2, "z": 3, "y": 4, "x": 5, "i": 6}
    peer = torch.randn([sizes[axis] for axis in axes])
    found = layout.to_ours(peer)
    assert found.shape == (2, 3, 4, 5, 6)
    place = {"o": 1, "z": 2, "y": 0, "x": 4, "i": 3}
    assert found[1, 2, 0, 4, 3] == peer[tuple(place[axis] for axis in axes)]


@pytest.mark.parametrize(
    ("layout", "edge", "fastest"),
    [
        (layouts.MINKOWSKI, 3, "x"),
        (layouts.MINKOWSKI, 2, "x"),
        (layouts.TORCHSPARSE, 3, "x"),
        (layouts.TORCHSPARSE, 2, "z"),
    ],
)
def test_lists_of_offsets(layout: Layout, edge: int, fastest: str) -> None:
    steps = range(edge)
    if fastest == "x":
        offsets = [(x, y, z) for z in steps for y in steps for x in steps]
    else:
        offsets = [(x, y, z) for x in steps for y in steps for z in steps]
    peer = torch.randn(edge**3, 2, 5)
    found = layout.to_ours(peer)
    assert found.shape == (5, edge, edge, edge, 2)
    for row, (x, y, z) in enumerate(offsets):
        assert torch.equal(found[:, z, y, x, :], peer[row].T)


def test_a_point_layer_of_spconv_is_its_memory_seen_as_in_times_out() -> None:
    layer = spconv.SubMConv3d(3, 5, 1, bias=False, algo=ConvAlgo.Native)
    feature, index = full_grid(3)
    with torch.no_grad():
        expected = layer(spconv.SparseConvTensor(feature, index, list(SHAPE), 1)).features
        linear = nn.Linear(3, 5, bias=False)
        linear.weight.copy_(layouts.POINT_KRSC.to_ours(layer.weight))
        torch.testing.assert_close(linear(feature), expected, rtol=1e-5, atol=1e-6)
        linear.weight.copy_(layer.weight.reshape(5, 3))
        assert not torch.allclose(linear(feature), expected, atol=0.1)


def test_a_flat_convolution_is_a_transposed_one_of_its_transposed_weight() -> None:
    peer, image = torch.randn(5, 3, 1, 1), torch.randn(1, 3, 4, 6)
    found = conv_transpose2d(image, layouts.FLAT_UP.to_ours(peer))
    torch.testing.assert_close(found, conv2d(image, peer), rtol=1e-5, atol=1e-6)


def test_kernels_of_maps_with_rows_along_x() -> None:
    peer, image = torch.randn(5, 3, 3, 3), torch.randn(1, 3, 4, 6)
    found = conv2d(image.transpose(2, 3), layouts.MAP_XY.to_ours(peer)).transpose(2, 3)
    torch.testing.assert_close(found, conv2d(image, peer), rtol=1e-5, atol=1e-5)


def test_slices_and_channels_change_places_in_the_first_map_layer() -> None:
    volume = torch.randn(1, 3, 2, 4, 4)  # C, D
    peer = torch.randn(5, 6, 3, 3)
    found = conv2d(volume.transpose(1, 2).flatten(1, 2), layouts.height_folded(3).to_ours(peer))
    torch.testing.assert_close(found, conv2d(volume.flatten(1, 2), peer), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (layouts.KRSC_XYZ, (4, 3, 3, 3, 2)),
        (layouts.RSCK_ZYX, (3, 3, 1, 2, 4)),
        (layouts.RSCK_XYZ, (3, 3, 1, 2, 4)),
        (layouts.MINKOWSKI, (27, 2, 4)),
        (layouts.TORCHSPARSE, (27, 2, 4)),
        (layouts.TORCHSPARSE, (8, 2, 4)),
        (layouts.POINT_KRSC, (4, 1, 1, 1, 2)),
        (layouts.POINT_MATRIX, (2, 4)),
        (layouts.MAP_XY, (4, 2, 3, 3)),
        (layouts.FLAT_UP, (4, 2, 1, 1)),
        (layouts.height_folded(3), (4, 6, 3, 3)),
    ],
)
def test_there_and_back_gives_the_same_tensor(layout: Layout, shape: tuple[int, ...]) -> None:
    peer = torch.randn(shape)
    assert torch.equal(layout.to_peer(layout.to_ours(peer).contiguous()), peer)


def test_a_bias_before_a_batch_norm_goes_into_its_mean_in_training_and_evaluation() -> None:
    rows = torch.randn(50, 4)
    bias = torch.randn(4)
    with_bias, without = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    with_bias.running_mean.uniform_(-1, 1)
    without.running_mean.copy_(layouts.fold_bias(with_bias.running_mean, bias))
    for training in (False, True):
        torch.testing.assert_close(
            without.train(training)(rows), with_bias.train(training)(rows + bias), rtol=1e-5, atol=1e-5
        )
    torch.testing.assert_close(without.running_mean, with_bias.running_mean - bias, rtol=1e-5, atol=1e-6)


def test_another_eps_is_folded_exactly_in_evaluation() -> None:
    rows = torch.randn(50, 4)
    peer, own = nn.BatchNorm1d(4, eps=1e-3).eval(), nn.BatchNorm1d(4, eps=1e-5).eval()
    peer.running_var.copy_(torch.tensor([1e-5, 1e-3, 0.5, 4.0]))
    own.load_state_dict(peer.state_dict())
    assert float((own(rows) - peer(rows)).detach().abs().max()) > 10
    own.weight.data = layouts.fold_eps(peer.weight.data, peer.running_var, 1e-3, 1e-5)
    torch.testing.assert_close(own(rows), peer(rows), rtol=1e-5, atol=1e-5)
    assert torch.equal(layouts.fold_eps(peer.weight.data, peer.running_var, 1e-3, 1e-3), peer.weight.data)


def test_a_column_is_scaled_alone() -> None:
    weight = torch.ones(2, 3, 3, 3, 4)
    scaled = layouts.scaled_column(weight, 3, 255.0)
    assert scaled[..., 3].unique().tolist() == [255.0]
    assert scaled[..., :3].unique().tolist() == [1.0]
    assert weight.unique().tolist() == [1.0]
