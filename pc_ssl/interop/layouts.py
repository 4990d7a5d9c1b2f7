"""Memory layouts of weights in other frameworks, each as a pair of functions that are inverse to each other.

Ours are spconv 2's with axes z, y, x: a kernel is [out, kz, ky, kx, in]. A 1 x 1 x 1 convolution is a linear layer of
ours, [out, in]; maps of the ground plane have rows along y and columns along x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """How one kind of weight is stored elsewhere.

    Args:
        to_ours: the peer's tensor -> ours.
        to_peer: our tensor -> the peer's.
    """

    to_ours: Callable[[Tensor], Tensor]
    to_peer: Callable[[Tensor], Tensor]


def permuted(*axes: int) -> Layout:
    """`peer.permute(axes)` is ours."""
    inverse = sorted(range(len(axes)), key=axes.__getitem__)
    return Layout(lambda weight: weight.permute(axes), lambda weight: weight.permute(inverse))


def chained(first: Layout, second: Layout) -> Layout:
    """The peer's tensor goes through `first`, then through `second`."""
    return Layout(
        lambda weight: second.to_ours(first.to_ours(weight)), lambda weight: first.to_peer(second.to_peer(weight))
    )


SAME = Layout(lambda weight: weight, lambda weight: weight)

# spconv 2: [out, k, k, k, in] (KRSC), coordinates z, y, x or x, y, z
KRSC_ZYX = SAME
KRSC_XYZ = permuted(0, 3, 2, 1, 4)

# spconv 1 and mmcv: [k, k, k, in, out] (RSCK)
RSCK_ZYX = permuted(4, 0, 1, 2, 3)
RSCK_XYZ = permuted(4, 2, 1, 0, 3)

# In a 1 x 1 x 1 layer spconv multiplies by the memory of [out, 1, 1, 1, in] seen as [in, out]: the declared axes do not
# say which channel is which.
POINT_KRSC = Layout(
    lambda weight: weight.reshape(weight.shape[-1], weight.shape[0]).T,
    lambda weight: weight.T.contiguous().reshape(weight.shape[0], 1, 1, 1, weight.shape[1]),
)
POINT_MATRIX = permuted(1, 0)  # [in, out]: MinkowskiEngine and torchsparse


def _cube(weight: Tensor) -> Tensor:
    """[k ** 3, in, out] -> [k, k, k, in, out]."""
    edge = round(weight.shape[0] ** (1 / 3))
    return weight.reshape(edge, edge, edge, *weight.shape[1:])


def _listed(weight: Tensor) -> Tensor:
    """[k, k, k, in, out] -> [k ** 3, in, out]."""
    return weight.reshape(-1, *weight.shape[3:])


_CUBE = Layout(_cube, _listed)
_X_FASTEST = chained(_CUBE, RSCK_ZYX)
_Z_FASTEST = chained(_CUBE, RSCK_XYZ)


def _is_even(weight: Tensor) -> bool:
    return weight.shape[0] % 2 == 0


# [k ** 3, in, out], offset x + k (y + k z): MinkowskiEngine for every k, torchsparse for odd k
MINKOWSKI = _X_FASTEST
# torchsparse lists the offsets of even kernels with z fastest
TORCHSPARSE = Layout(
    lambda weight: (_Z_FASTEST if _is_even(weight) else _X_FASTEST).to_ours(weight),
    lambda weight: (_Z_FASTEST if weight.shape[1] % 2 == 0 else _X_FASTEST).to_peer(weight),
)

# Maps of the ground plane: rows along x and columns along y instead of ours
MAP_XY = permuted(0, 1, 3, 2)
# A 1 x 1 convolution [out, in, 1, 1] where ours is a transposed convolution [in, out, 1, 1]
FLAT_UP = permuted(1, 0, 2, 3)


def height_folded(channels: int) -> Layout:
    """The first 2D kernel [out, channels * D, 3, 3] after D slices became channels: theirs c * D + z, ours z * C + c.

    Args:
        channels: C, channels of a slice.
    """

    def swap(weight: Tensor, inner: int) -> Tensor:
        return weight.unflatten(1, (-1, inner)).transpose(1, 2).flatten(1, 2)

    return Layout(lambda weight: swap(weight, weight.shape[1] // channels), lambda weight: swap(weight, channels))


def scaled_column(weight: Tensor, column: int, factor: float) -> Tensor:
    """A first layer's weight [..., in] for inputs whose `column` is given divided by `factor`."""
    scaled = weight.clone()
    scaled[..., column] *= factor
    return scaled


def fold_bias(running_mean: Tensor, bias: Tensor) -> Tensor:
    """Running mean of the batch norm after a convolution whose bias is left out: exact in training and evaluation."""
    return running_mean - bias


def fold_eps(weight: Tensor, running_var: Tensor, found: float, wanted: float) -> Tensor:
    """A batch norm's weight that gives, with eps `wanted`, what it gave with `found`: exact in evaluation alone."""
    if found == wanted:
        return weight
    variance = running_var.double()
    return (weight.double() * torch.sqrt((variance + wanted) / (variance + found))).to(weight.dtype)
