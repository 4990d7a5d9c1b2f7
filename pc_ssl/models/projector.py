"""The head that pretraining methods put between features and embeddings."""

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
        batch_norm: whether the hidden layer has it; without, each embedding depends on its own row alone.
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
        """feature [n, in_channels] -> [n, D] of unit length, float32 under autocast too.

        Fewer than two are too few for batch norm: then [0, D], in whose (empty) sum every feature and parameter still
        takes part, as training on several processes asks.
        """
        if len(feature) < 2:
            unused = sum(parameter.sum() for parameter in self.parameters())
            return feature.new_zeros(0, self.out_channels) + (feature.sum() + unused) * 0.0
        return normalize(self(feature).float(), dim=1)
