"""Sparse convolution, and the blocks of the LiDAR networks. No other file imports spconv.

A sparse tensor holds the features [V, C] of the voxels that are not empty, and their indices [V, 4] int32 (frame, z,
y, x). Blocks with the same `key` share one table of index pairs, built by the first of them: give one key to all
submanifold layers of one resolution, and one to a strided layer and its inverse layer.

On a GPU spconv computes; it casts to float16 under autocast itself, and picks the kernel. On the CPU the project's own
op does (`ops/sparse_conv.py`), in float32 or float64, to which an input under autocast is cast up. Weights are
spconv's in both cases. On the CPU the voxels of a sparse tensor ascend by frame, z, y, x.
"""

from __future__ import annotations

import logging

import spconv.pytorch as spconv
import torch
from spconv.core import ConvAlgo
from spconv.pytorch import SparseConvTensor as SparseTensor
from torch import Tensor, nn

from pc_ssl.models.norm import RowNorm
from pc_ssl.models.voxelize import Voxels
from pc_ssl.ops import ConvPlan, region_pool, sparse_conv

# Each construction of spconv's tensor asks torch whether fx is tracing, on which torch writes a line about its own API.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)


def sparse_tensor(voxels: Voxels, extra_slices: int = 0) -> SparseTensor:
    """The sparse tensor of `voxels`, with `extra_slices` empty ones on top along z."""
    x, y, z = voxels.grid.shape
    # spconv does not check that the indices are contiguous, and is silently wrong where they are not
    return SparseTensor(voxels.feature, voxels.index.contiguous(), [z + extra_slices, y, x], voxels.num_frames)


def concatenate(x: SparseTensor, skip: SparseTensor) -> SparseTensor:
    """`x` with the features of both; `skip` holds the same voxels in the same order."""
    return x.replace_feature(torch.cat([x.features, skip.features], dim=1))


def fold_height(x: SparseTensor) -> Tensor:
    """Dense map [B, D * C, H, W], channels last in memory, of a sparse tensor with D slices; empty voxels are zeros."""
    depth, height, width = x.spatial_shape
    frame, z, y, x_ = x.indices.long().unbind(1)
    cell = ((frame * height + y) * width + x_) * depth + z
    dense = region_pool(x.features, cell, x.batch_size * height * width * depth, "sum")
    return dense.reshape(x.batch_size, height, width, -1).permute(0, 3, 1, 2)


class SubmanifoldBlock(nn.Module):
    """3 x 3 x 3 convolution at the voxels of the input (Graham et al., CVPR 2018), batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, key: str) -> None:
        super().__init__()
        self.convolution = spconv.SubMConv3d(in_channels, out_channels, 3, bias=False, indice_key=key)
        self.norm = RowNorm(out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        x = _convolve(self.convolution, x)
        return x.replace_feature(self.norm(x.features).relu())


class DownBlock(nn.Module):
    """Convolution with stride 2 along all axes, batch norm, ReLU.

    Args:
        in_channels, out_channels: channels.
        key: name of the table of neighbours.
        kernel_size: 2 halves an even shape and gives exactly the cells that hold voxels (MinkUNet); 3 extends half a
            cell further, so that cells next to voxels are occupied too, and rounds an odd shape up (SECOND).
        z_padding: slices of zeros below the first and above the last; None: as along x and y, (kernel_size - 1) // 2.
    """

    def __init__(
        self, in_channels: int, out_channels: int, key: str, kernel_size: int = 2, z_padding: int | None = None
    ) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.convolution = spconv.SparseConv3d(
            in_channels, out_channels, kernel_size, stride=2, bias=False, indice_key=key,
            padding=(padding if z_padding is None else z_padding, padding, padding),
        )  # fmt: skip
        self.norm = RowNorm(out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        x = _convolve(self.convolution, x)
        return x.replace_feature(self.norm(x.features).relu())


class HeightBlock(nn.Module):
    """3 x 1 x 1 convolution with stride 2 along z alone, batch norm, ReLU (SECOND).

    Args:
        in_channels, out_channels: channels.
        z_padding: slices of zeros below the first and above the last; with 1 an odd height is rounded up.
    """

    def __init__(self, in_channels: int, out_channels: int, z_padding: int = 1) -> None:
        super().__init__()
        self.convolution = spconv.SparseConv3d(
            in_channels, out_channels, (3, 1, 1), (2, 1, 1), (z_padding, 0, 0), bias=False
        )
        self.norm = RowNorm(out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        x = _convolve(self.convolution, x)
        return x.replace_feature(self.norm(x.features).relu())


class UpBlock(nn.Module):
    """Inverse of the strided convolution of the same `key`: back to its input's voxels; batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, key: str, kernel_size: int = 2) -> None:
        super().__init__()
        self.convolution = spconv.SparseInverseConv3d(in_channels, out_channels, kernel_size, key, bias=False)
        self.norm = RowNorm(out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        x = _convolve(self.convolution, x)
        return x.replace_feature(self.norm(x.features).relu())


class ResidualBlock(nn.Module):
    """Two submanifold convolutions with a shortcut (He et al., CVPR 2016, basic block).

    The shortcut is a linear layer with batch norm where the channels differ, otherwise the input itself.
    """

    def __init__(self, in_channels: int, out_channels: int, key: str) -> None:
        super().__init__()
        self.first = SubmanifoldBlock(in_channels, out_channels, key)
        self.second = spconv.SubMConv3d(out_channels, out_channels, 3, bias=False, indice_key=key)
        self.norm = RowNorm(out_channels)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Sequential(nn.Linear(in_channels, out_channels, bias=False), RowNorm(out_channels))
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = _convolve(self.second, self.first(x))
        return y.replace_feature((self.norm(y.features) + self.shortcut(x.features)).relu())


def _convolve(convolution: spconv.conv.SparseConvolution, x: SparseTensor) -> SparseTensor:
    if x.indices.is_cuda and not convolution.weight.is_meta:
        convolution.algo = ConvAlgo.MaskImplicitGemm
        return convolution(x)
    plan = _plan_of(convolution, x)
    weight = convolution.weight
    result = SparseTensor(_multiplied(x.features, weight, plan), plan.out_index, list(plan.out_shape), x.batch_size)
    result.indice_dict = x.indice_dict
    return result


def _plan_of(convolution: spconv.conv.SparseConvolution, x: SparseTensor) -> ConvPlan:
    """The index pairs of the layer: of an earlier one of the same key, or new ones."""
    key, plans = convolution.indice_key, x.indice_dict
    if convolution.inverse:
        return plans[key].inverse()
    if convolution.subm and key in plans:
        return plans[key]
    sizes = (convolution.kernel_size, convolution.stride, convolution.padding)
    if convolution.subm:  # spconv ignores the padding of these layers
        sizes = (convolution.kernel_size, (1, 1, 1), tuple(size // 2 for size in convolution.kernel_size))
    plan = ConvPlan.build(x.indices, x.spatial_shape, *sizes, submanifold=convolution.subm)
    if key is not None:
        plans[key] = plan
    return plan


def _multiplied(feature: Tensor, weight: Tensor, plan: ConvPlan) -> Tensor:
    """[M, C_out] of features [V, C_in] and weights [C_out, z, y, x, C_in].

    Weights on "meta" give features there, which have no memory: each pair of an input and an output voxel is multiplied
    once, so that torch's counter of FLOPs sees 2 * pairs * C_in * C_out.
    """
    kernel = weight.flatten(1, 3).permute(1, 2, 0)
    if weight.is_meta:
        _ = weight.new_empty(len(plan.in_row), kernel.shape[1]) @ weight.new_empty(*kernel.shape[1:])
        return weight.new_empty(len(plan.out_index), kernel.shape[2])
    with torch.autocast("cpu", enabled=False):
        return sparse_conv(feature.to(weight.dtype), kernel, plan)
