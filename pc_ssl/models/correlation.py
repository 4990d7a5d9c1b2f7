"""Which points belong together, by queries and keys of their embeddings: the learned correlation of FAC."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pc_ssl.losses.correspondence import Correlation


class SiameseCorrelation(nn.Module):
    """Queries and keys by two linear maps that both views share.

    FAC (Liu et al., CVPR 2023) names a Siamese correspondence network that learns correlations within and across the
    two views; its layers are not public, and these are reconstructed. The correlation of point i with point j, of the
    same view or of the other, is (W_q z_i) . (W_k z_j) / sqrt(E).

    Args:
        channels: D, of the embeddings.
        correlation_channels: E, of queries and keys.

    Raises:
        ValueError: `correlation_channels` is below 1.
    """

    def __init__(self, channels: int, correlation_channels: int) -> None:
        super().__init__()
        if correlation_channels < 1:
            raise ValueError(f"correlation_channels must be 1 or more, got {correlation_channels}")
        self.query = nn.Linear(channels, correlation_channels, bias=False)
        self.key = nn.Linear(channels, correlation_channels, bias=False)

    def forward(self, embedding: Tensor) -> Correlation:
        """Queries, divided by sqrt(E), and keys, [S, E] each, of embeddings [S, D] of one view.

        Computed in float32 also under autocast (float64 stays).
        """
        with torch.autocast(embedding.device.type, enabled=False):
            return Correlation(self.query(embedding) * self.query.out_features**-0.5, self.key(embedding))
