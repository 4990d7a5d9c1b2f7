"""A training object and a data set of a few lines; run by torchrun as `toy_training.py WORK_DIR` it trains them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from pc_ssl.data.sampler import Draw
from pc_ssl.engine.train import TrainOptions, train


@dataclass(frozen=True)
class ToyBatch:
    """B tokens, x [B, 8]."""

    tokens: tuple[str, ...]
    x: Tensor

    @classmethod
    def pack(cls, samples: Sequence[tuple[str, Tensor]]) -> ToyBatch:
        return cls(tuple(token for token, _ in samples), torch.stack([x for _, x in samples]))

    def to(self, device: torch.device) -> ToyBatch:
        return ToyBatch(self.tokens, self.x.to(device))


class ToyFrames(Dataset):
    """Random vectors, one for each (frame, epoch)."""

    def __init__(self, frames: int = 20) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, draw: Draw) -> tuple[str, Tensor]:
        return f"frame{draw.row}", torch.from_numpy(draw.rng().normal(size=8).astype(np.float32))


class ToyMethod(nn.Module):
    """Learns the sum of a vector; with batch normalisation's running state and dropout's randomness."""

    def __init__(self, *, stateful: bool = True, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        layers = [nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2)]
        self.backbone = nn.Sequential(*(layers if stateful else layers[:1]))
        self.head = nn.Linear(16, 1)

    collate = staticmethod(ToyBatch.pack)

    def forward(self, batch: ToyBatch) -> dict[str, Tensor]:
        error = self.head(self.backbone(batch.x))[:, 0] - batch.x.sum(dim=1)
        return {"loss": error.square().mean(), "mae": error.detach().abs().mean()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(
        ToyMethod(stateful=False),
        ToyFrames(),
        TrainOptions(steps=12, batch_size=4, learning_rate=1e-2, num_workers=0, log_every=1),
        Path(sys.argv[1]),
        device="cpu",
    )
