"""Projection head between features and embeddings."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.models.norm import RowNorm


class Projector(nn.Sequential):
    """[n, in_channels] -> [n, out_channels] through one hidden layer; with batch norm n must be 2 or more to train.

    Args:
        in_channels: of the features.
        hidden_channels: of the hidden layer.
        out_channels: D, of the embeddings.
        batch_norm: whether the hidden layer has batch norm; without it each embedding depends only on its row.
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, batch_norm: bool = True) -> None:
        super().__init__(
            nn.Linear(in_channels, hidden_channels, bias=not batch_norm),
            *([RowNorm(hidden_channels)] if batch_norm else []),
            nn.ReLU(),
            nn.Linear(hidden_channels, out_channels),
        )
        self.out_channels = out_channels

    def embeddings(self, feature: Tensor) -> Tensor:
        """feature [n, in_channels] -> [n, D] of unit length, float32 (also under autocast).

        Batch norm needs two rows or more. With fewer the result is [0, D], connected to every feature and parameter, as
        distributed training requires.
        """
        if len(feature) < 2:
            unused = sum(parameter.sum() for parameter in self.parameters())
            return feature.new_zeros(0, self.out_channels) + (feature.sum() + unused) * 0.0
        return normalize(self(feature).float(), dim=1)
