"""Batch normalisation of rows, such as voxels or points, whose number differs from batch to batch."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class RowNorm(nn.BatchNorm1d):
    """nn.BatchNorm1d over rows [N, C] that accepts a single row.

    One row has no variance, and torch raises. It occurs in training when a small frame is alone in its batch: all its
    points fall into one voxel of a coarse level. The running statistics then normalise the row, and are not updated.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) < 2:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(input)
