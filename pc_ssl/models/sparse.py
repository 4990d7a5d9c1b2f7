"""Sparse convolution on spconv, and the blocks of the LiDAR networks. No other file imports spconv.

A sparse tensor holds the features [V, C] of the voxels that are not empty, and their indices [V, 4] int32 (frame, z,
y, x). Blocks with the same `key` share one table of neighbours, built by the first of them: give one key to all
submanifold layers of one resolution, and one to a strided layer and its inverse layer.

On the CPU spconv computes in float32 or float64 alone, by gathering, multiplying and adding one kernel offset at a
time. Under autocast its input is therefore cast up there; on a GPU spconv casts to float16 itself, and picks the
kernel. Its CPU kernel that adds rows loses updates when it runs on several threads, so it runs on one here, which is
not
slower: results are bitwise equal between runs with the same number of threads.
"""

from __future__ import annotations

import logging

import spconv.pytorch as spconv
import torch
from spconv.core import ConvAlgo
from spconv.pytorch import SparseConvTensor as SparseTensor
from spconv.pytorch import cppcore, ops
from torch import Tensor, nn

from pc_ssl.models.norm import RowNorm
from pc_ssl.models.voxelize import Voxels
from pc_ssl.ops import region_pool

# Each construction of spconv's tensor asks torch whether fx is tracing, on which torch writes a line about its own API.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)


def _no_stream() -> int:
    return 0


if not torch.cuda.is_available():
    # spconv asks for the CUDA stream in its CPU backward pass too, then leaves it unused.
    cppcore.get_current_stream = _no_stream
    ops.get_current_stream = _no_stream


_scatter_add = ops.SpconvOps.scatter_add_cpu


def _scatter_add_on_one_thread(out: object, rows: object, index: object) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _scatter_add(out, rows, index)
    finally:
        torch.set_num_threads(threads)


ops.SpconvOps.scatter_add_cpu = staticmethod(_scatter_add_on_one_thread)


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
    if convolution.weight.is_meta:
        return _without_memory(convolution, x)
    if x.features.is_cuda:
        convolution.algo = ConvAlgo.MaskImplicitGemm
        return convolution(x)
    convolution.algo = ConvAlgo.Native
    with torch.autocast("cpu", enabled=False):
        return convolution(x.replace_feature(x.features.to(convolution.weight.dtype)))


def _without_memory(convolution: spconv.conv.SparseConvolution, x: SparseTensor) -> SparseTensor:
    """Output of a convolution on "meta": the real indices of its voxels, with features that have no memory.

    Each pair of an input and an output voxel that an offset of the kernel joins is multiplied once, as
    spconv's native algorithm does it; torch's counter of FLOPs sees 2 * pairs * in_channels * out_channels.
    """
    key = convolution.indice_key
    if convolution.inverse:
        _, shape, indices, pairs = x.indice_dict[key]
    elif convolution.subm and key in x.indice_dict:
        shape, _, indices, pairs = x.indice_dict[key]
    else:
        sizes = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
        indices, _, count = ops.get_indice_pairs(
            x.indices, x.batch_size, x.spatial_shape, ConvAlgo.Native, *sizes, convolution.output_padding,
            convolution.subm,
        )  # fmt: skip
        shape = x.spatial_shape if convolution.subm else ops.get_conv_output_size(x.spatial_shape, *sizes)
        pairs = int(count.sum())
        if convolution.subm:  # counted are the offsets before the middle; the middle joins each voxel with itself
            pairs = 2 * int(count[: len(count) // 2].sum()) + len(indices)
        x.indice_dict[key] = (shape, x.spatial_shape, indices if convolution.subm else x.indices, pairs)
    weight = convolution.weight
    _ = weight.new_empty(pairs, convolution.in_channels) @ weight.new_empty(
        convolution.in_channels, convolution.out_channels
    )
    feature = weight.new_empty(len(indices), convolution.out_channels)
    result = SparseTensor(feature, indices, shape, x.batch_size)
    result.indice_dict = x.indice_dict
    return result
