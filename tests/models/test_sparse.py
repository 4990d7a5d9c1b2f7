"""Sparse convolution against dense convolution and finite differences."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pc_ssl.geometry import BevGrid
from pc_ssl.models.sparse import (
    DownBlock,
    HeightBlock,
    ResidualBlock,
    SparseTensor,
    SubmanifoldBlock,
    UpBlock,
    _convolve,
    concatenate,
    fold_height,
    sparse_tensor,
)
from pc_ssl.models.voxelize import voxelize
from pc_ssl.structures import PointBatch

SHAPE = (5, 6, 4)  # z, y, x
FRAMES = 2


def active(seed: int = 0, share: float = 0.3) -> Tensor:
    """Indices [V, 4] int32 of a random set of voxels."""
    filled = torch.rand(FRAMES, *SHAPE, generator=torch.Generator().manual_seed(seed)) < share
    return filled.nonzero().int().contiguous()


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def to_dense(feature: Tensor, index: Tensor, shape: tuple[int, ...]) -> Tensor:
    dense = feature.new_zeros(FRAMES, feature.shape[1], *shape)
    for row, (b, z, y, x) in zip(feature, index.tolist(), strict=True):
        dense[b, :, z, y, x] = row
    return dense


def at(dense: Tensor, index: Tensor) -> Tensor:
    return torch.stack([dense[b, :, z, y, x] for b, z, y, x in index.tolist()])


def dense_kernel(convolution: nn.Module) -> Tensor:
    """[out, in, z, y, x] of spconv's [out, z, y, x, in]."""
    return convolution.weight.permute(0, 4, 1, 2, 3)


def test_submanifold_convolution_is_the_dense_one_read_at_its_voxels() -> None:
    index, feature = active(), random(len(active()), 3)
    convolution = SubmanifoldBlock(3, 4, "a").double().convolution
    y = _convolve(convolution, SparseTensor(feature, index, SHAPE, FRAMES))
    dense = nn.functional.conv3d(to_dense(feature, index, SHAPE), dense_kernel(convolution), padding=1)
    torch.testing.assert_close(y.features, at(dense, index))
    assert torch.equal(y.indices, index)


@pytest.mark.parametrize(("kernel_size", "shape"), [(2, (4, 6, 4)), (3, (5, 6, 4))])
def test_down_block_is_the_dense_strided_convolution(kernel_size: int, shape: tuple[int, int, int]) -> None:
    index = active()
    index = index[index[:, 1] < shape[0]]
    feature = random(len(index), 3)
    convolution = DownBlock(3, 4, "a", kernel_size).double().convolution
    y = _convolve(convolution, SparseTensor(feature, index, shape, FRAMES))
    dense = nn.functional.conv3d(
        to_dense(feature, index, shape), dense_kernel(convolution), stride=2, padding=(kernel_size - 1) // 2
    )
    assert tuple(y.spatial_shape) == tuple(dense.shape[2:])
    torch.testing.assert_close(to_dense(y.features, y.indices, tuple(dense.shape[2:])), dense)


def test_height_block_halves_z_alone() -> None:
    index, feature = active(), random(len(active()), 3)
    convolution = HeightBlock(3, 4).double().convolution
    y = _convolve(convolution, SparseTensor(feature, index, SHAPE, FRAMES))
    dense = nn.functional.conv3d(
        to_dense(feature, index, SHAPE), dense_kernel(convolution), stride=(2, 1, 1), padding=(1, 0, 0)
    )
    torch.testing.assert_close(to_dense(y.features, y.indices, (3, 6, 4)), dense)


def test_up_block_is_the_dense_transposed_convolution_at_the_fine_voxels() -> None:
    shape = (4, 6, 4)
    index = active()
    index = index[index[:, 1] < 4]
    down, up = DownBlock(3, 5, "a").double().convolution, UpBlock(5, 2, "a").double().convolution
    coarse = _convolve(down, SparseTensor(random(len(index), 3), index, shape, FRAMES))
    y = _convolve(up, coarse)
    dense = nn.functional.conv_transpose3d(
        to_dense(coarse.features, coarse.indices, (2, 3, 2)), dense_kernel(up).transpose(0, 1), stride=2
    )
    assert torch.equal(y.indices, index)
    torch.testing.assert_close(y.features, at(dense, index))


class Layer(nn.Module):
    """A convolution as the blocks call it."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: SparseTensor) -> SparseTensor:
        return _convolve(self.convolution, x)


@pytest.mark.parametrize("kind", ["submanifold", "strided 2", "strided 3", "height", "inverse"])
def test_gradients_agree_with_finite_differences(kind: str) -> None:
    index = active(share=0.15)
    index = index[index[:, 1] < 4]
    shape = (4, 6, 4)
    first = DownBlock(2, 3, "a").double().convolution
    convolution = {
        "submanifold": SubmanifoldBlock(2, 3, "b"),
        "strided 2": DownBlock(2, 3, "b", 2),
        "strided 3": DownBlock(2, 3, "b", 3),
        "height": HeightBlock(2, 3),
        "inverse": UpBlock(3, 2, "a"),
    }[kind].convolution.double()
    layer = Layer(convolution)

    def run(feature: Tensor, weight: Tensor) -> Tensor:
        x = SparseTensor(feature, index, shape, FRAMES)
        if kind == "inverse":
            x = _convolve(first, x)
        return functional_call(layer, {"convolution.weight": weight}, (x,)).features

    inputs = (random(len(index), 2).requires_grad_(), convolution.weight.detach().clone().requires_grad_())
    assert torch.autograd.gradcheck(run, inputs)


def test_residual_block_adds_its_input() -> None:
    index, feature = active(), random(len(active()), 3).abs()
    block = ResidualBlock(3, 3, "a").double().eval()
    nn.init.zeros_(block.second.weight)
    y = block(SparseTensor(feature, index, SHAPE, FRAMES))
    torch.testing.assert_close(y.features, feature)


@pytest.mark.parametrize("threads", [1, 2])
def test_two_runs_give_the_same_bits(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        runs = [step() for _ in range(3)]
    finally:
        torch.set_num_threads(before)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))


def step() -> list[Tensor]:
    """Features and gradients of a small network on a cloud of thousands of voxels."""
    torch.manual_seed(0)
    cloud = torch.rand(20_000, 4) * torch.tensor([20.0, 20.0, 4.0, 1.0])
    voxels = voxelize(PointBatch.pack([cloud, cloud.flip(1)]), BevGrid((0, 0, 0), (20, 20, 20), (0.5, 0.5, 0.5)))
    blocks = nn.ModuleList([ResidualBlock(5, 8, "a"), DownBlock(8, 8, "b"), UpBlock(8, 8, "b")])
    x = blocks[0](sparse_tensor(voxels))
    y = concatenate(blocks[2](blocks[1](x)), x)
    y.features.square().sum().backward()
    return [y.features.detach(), *[parameter.grad for parameter in blocks.parameters()]]


def test_autocast_leaves_the_sparse_layers_in_float32() -> None:
    index = active()
    block = SubmanifoldBlock(3, 4, "a").eval()
    x = SparseTensor(random(len(index), 3).bfloat16(), index, SHAPE, FRAMES)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = block(x).features
    plain = block(x.replace_feature(x.features.float())).features
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, plain)


def test_fold_height_puts_each_slice_in_its_channels() -> None:
    index, feature = active(), random(len(active()), 3)
    bev = fold_height(SparseTensor(feature, index, SHAPE, FRAMES))
    dense = to_dense(feature, index, SHAPE)
    assert torch.equal(bev, dense.transpose(1, 2).flatten(1, 2))


def test_fold_height_hands_the_gradient_back() -> None:
    index, feature = active(), random(len(active()), 3).requires_grad_()
    weight = random(FRAMES, 3 * SHAPE[0], *SHAPE[1:], seed=4)
    (fold_height(SparseTensor(feature, index, SHAPE, FRAMES)) * weight).sum().backward()
    expected = at(weight.unflatten(1, (SHAPE[0], 3)).transpose(1, 2), index)
    torch.testing.assert_close(feature.grad, expected)
