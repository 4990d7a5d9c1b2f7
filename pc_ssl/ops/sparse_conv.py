"""Sparse convolution by index pairs, on the CPU: gather, multiply and add in one pass.

The kernels are in csrc/ (sparse_conv.h is their contract), `reference.py` has the loop that defines them. Here are the
public functions, and the registrations of the compiled ops with torch: fake kernels, derivatives, autocast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pc_ssl.ops.extension import compiled as _ops


@dataclass(frozen=True)
class ConvPlan:
    """Index pairs of one sparse convolution, made once for all layers that share them and used in both directions.

    Each use checks the pairs: within an offset, input and output rows must ascend strictly and be rows of the tensors.

    Args:
        in_index: [V, 4] int32: frame, z, y, x of the input voxels, ascending.
        in_shape: of their grid, z, y, x.
        out_index: [M, 4] int32: of the output voxels, ascending.
        out_shape: of their grid.
        in_row, out_row: [P] int32: rows of the two that meet; all pairs of the first offset of the kernel, then of
            the second, and so on (x fastest, then y, then z).
        offsets: [K + 1] int64: the pairs of offset k begin at offsets[k].
    """

    in_index: Tensor
    in_shape: tuple[int, int, int]
    out_index: Tensor
    out_shape: tuple[int, int, int]
    in_row: Tensor
    out_row: Tensor
    offsets: Tensor

    @classmethod
    def build(
        cls,
        index: Tensor,
        shape: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        submanifold: bool = False,
    ) -> ConvPlan:
        """The pairs of a convolution, input coordinate = stride * output coordinate - padding + offset.

        Args:
            index: [V, 4] int32 on the CPU: frame, z, y, x of the voxels, strictly ascending.
            shape: of their grid, z, y, x.
            kernel, stride, padding: along z, y, x.
            submanifold: the output voxels are the input voxels; else those that meet at least one.

        Raises:
            ValueError: voxels do not ascend or are outside the grid, or a size is out of range.
        """
        sizes = [list(map(int, values)) for values in (kernel, stride, padding)]
        before = list(map(int, shape))
        after = [
            size if submanifold else (size + 2 * p - k) // s + 1 for size, k, s, p in zip(before, *sizes, strict=True)
        ]
        out_index, in_row, out_row, offsets = _ops.sparse_conv_pairs(index, before, after, *sizes, submanifold)
        return cls(index, (before[0], before[1], before[2]), out_index, (after[0], after[1], after[2]), in_row, out_row,
                   offsets)  # fmt: skip

    def inverse(self) -> ConvPlan:
        """The same pairs with input and output exchanged: of the convolution that undoes a strided one."""
        return ConvPlan(
            self.out_index, self.out_shape, self.in_index, self.in_shape, self.out_row, self.in_row, self.offsets
        )


def sparse_conv(feature: Tensor, weight: Tensor, plan: ConvPlan) -> Tensor:
    """Sparse convolution: out[o] = sum over offsets k and pairs (i, o) of k of feature[i] @ weight[k].

    The result is the same to the last bit for any number of threads. Under autocast it is computed in float32.

    Args:
        feature: [V, C_in] float32 or float64 on the CPU.
        weight: [K, C_in, C_out].
        plan: K offsets.

    Returns:
        [M, C_out]; rows without a pair are 0.

    Raises:
        ValueError: shapes, dtypes or the plan do not fit.
    """
    return _ops.sparse_conv(feature, weight, plan.in_row, plan.out_row, plan.offsets, len(plan.out_index))


@torch.library.register_fake("pc_ssl::sparse_conv_pairs")
def _pairs_fake(
    index: Tensor,
    in_shape: Sequence[int],
    out_shape: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    submanifold: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    context = torch.library.get_ctx()
    voxels = index.shape[0] if submanifold else context.new_dynamic_size()
    pairs = context.new_dynamic_size()
    in_row, out_row = (index.new_empty(pairs, dtype=torch.int32) for _ in range(2))
    return index.new_empty(voxels, 4), in_row, out_row, index.new_empty(math.prod(kernel) + 1, dtype=torch.int64)


@torch.library.register_fake("pc_ssl::sparse_conv")
def _conv_fake(
    feature: Tensor, weight: Tensor, in_row: Tensor, out_row: Tensor, offsets: Tensor, num_out: int
) -> Tensor:
    return feature.new_empty(num_out, weight.shape[2])


@torch.library.register_fake("pc_ssl::sparse_conv_weight_grad")
def _weight_grad_fake(feature: Tensor, grad: Tensor, in_row: Tensor, out_row: Tensor, offsets: Tensor) -> Tensor:
    return feature.new_empty(offsets.shape[0] - 1, feature.shape[1], grad.shape[1])


def _save_for_conv(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])


def _conv_backward(ctx: Any, grad: Tensor) -> tuple:
    feature, weight, in_row, out_row, offsets = ctx.saved_tensors
    of_feature = of_weight = None
    if ctx.needs_input_grad[0]:
        of_feature = _ops.sparse_conv(grad, weight.transpose(1, 2), out_row, in_row, offsets, feature.shape[0])
    if ctx.needs_input_grad[1]:
        of_weight = _ops.sparse_conv_weight_grad(feature, grad, in_row, out_row, offsets)
    return of_feature, of_weight, None, None, None, None


def _save_for_weight_grad(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _weight_grad_backward(ctx: Any, weight: Tensor) -> tuple:
    """Linear in both: `weight` [K, C_in, C_out] is the gradient of the weight's gradient."""
    feature, grad, in_row, out_row, offsets = ctx.saved_tensors
    of_feature = _ops.sparse_conv(grad, weight.transpose(1, 2), out_row, in_row, offsets, feature.shape[0])
    return of_feature, _ops.sparse_conv(feature, weight, in_row, out_row, offsets, grad.shape[0]), None, None, None


torch.library.register_autograd("pc_ssl::sparse_conv", _conv_backward, setup_context=_save_for_conv)
torch.library.register_autograd(
    "pc_ssl::sparse_conv_weight_grad", _weight_grad_backward, setup_context=_save_for_weight_grad
)
torch.library.register_autocast("pc_ssl::sparse_conv", "cpu", torch.float32)
