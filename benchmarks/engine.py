"""Overhead of the engine per training step, against a bare loop over the same batches; and the cost of a checkpoint.

    OMP_NUM_THREADS=1 python benchmarks/engine.py --json work_dirs/bench/engine.json

The network is tiny, so that the step is short and its overhead shows. Rounds alternate between the two; a figure is the
least over the rounds, since other programs only ever add to it. Both loops load in the training process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from pc_ssl.data.sampler import Draw, StepBatches
from pc_ssl.engine.checkpoint import save_checkpoint
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.train import train
from pc_ssl.files import write_json
from pc_ssl.models.lidar import SparseUNet

STEPS, BATCH, ROUNDS, LOG_EVERY = 1000, 4, 5, 50
CLIP_NORM, LEARNING_RATE = 10.0, 1e-3


@dataclass(frozen=True)
class Batch:
    """Vectors x [B, 8]."""

    tokens: tuple[str, ...]
    x: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.tokens, self.x.to(device))


class Vectors(Dataset):
    """Random vectors, held in memory."""

    def __init__(self) -> None:
        self.x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, draw: Draw) -> Tensor:
        return self.x[draw.row]


class Tiny(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.Linear(8, 16), nn.Linear(16, 1)

    @staticmethod
    def collate(samples: Sequence[Tensor]) -> Batch:
        return Batch(("",) * len(samples), torch.stack(list(samples)))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.head(self.backbone(batch.x).relu()).square().mean()}


def bare() -> float:
    """Seconds per step of a loop without logging, schedule, checks, progress or checkpoints."""
    module, frames = Tiny(), Vectors()
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE)
    batches = StepBatches(len(frames), BATCH, 0, 0, STEPS)
    start = time.perf_counter()
    for batch in DataLoader(frames, batch_sampler=batches, collate_fn=module.collate):
        module(batch)["loss"].backward()
        nn.utils.clip_grad_norm_(module.parameters(), CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad()
    return (time.perf_counter() - start) / STEPS


def engine() -> float:
    """Seconds per step of the engine, by its own log."""
    options = TrainOptions(STEPS, BATCH, LEARNING_RATE, clip_norm=CLIP_NORM, num_workers=0, log_every=LOG_EVERY)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        train(Tiny(), Vectors(), options, Path(folder), device="cpu")
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    return sum(line["seconds"] for line in lines[2:]) / len(lines[2:])  # the first lines hold what starts up


def checkpoint() -> tuple[int, float]:
    """Bytes, and seconds until the disk holds them, of the checkpoint of MinkUNet34."""
    module = SparseUNet()
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        start = time.perf_counter()
        save_checkpoint(path, 1, module, optimizer)
        return path.stat().st_size, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rounds = [(bare(), engine()) for _ in range(ROUNDS)]
    bare_us, engine_us = (min(times) * 1e6 for times in zip(*rounds, strict=True))
    size, seconds = checkpoint()
    print(f"step: bare loop {bare_us:.0f} us, engine {engine_us:.0f} us: {engine_us - bare_us:.0f} us more")
    print(f"checkpoint of MinkUNet34: {size / 1e6:.0f} MB in {seconds:.2f} s")
    if arguments.json is not None:
        write_json(
            arguments.json,
            {"bare_us": bare_us, "engine_us": engine_us, "checkpoint_bytes": size, "checkpoint_seconds": seconds},
        )


if __name__ == "__main__":
    main()
