"""Batch normalisation: of rows whose number differs from batch to batch, and the constants of a whole network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


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


def set_norm_constants(network: nn.Module, eps: float, momentum: float) -> None:
    """Give every batch norm of a network these constants: torch's are 1e-5 and 0.1, most detectors' 1e-3 and 0.01.

    Args:
        network: changed in place.
        eps: added to the variance.
        momentum: share of a batch in the running statistics.

    Raises:
        ValueError: eps is not positive, or momentum is not within 0..1.
    """
    if eps <= 0 or not 0 <= momentum <= 1:
        raise ValueError(f"batch norm: need eps > 0 and momentum within 0..1, got {eps} and {momentum}")
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eps, module.momentum = eps, momentum
