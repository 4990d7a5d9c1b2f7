"""Where the time of a fine-tuning step goes, and how much faster it is than with spconv and a loss on points.

    OMP_NUM_THREADS=1 python benchmarks/step.py --cache cache [--split train] [--threads 1] [--json FILE]

A UNet of about 0.5 GFLOPs a frame of 32 x 1084 returns (voxels of 0.3 m), batches of 4, forward and backward, without
augmentation and update. Before: spconv's native algorithm on the CPU, Lovasz-Softmax on points with classes as columns.
Now: the op of `pc_ssl.ops.sparse_conv`, once with the loss on points and once on voxels. All three take turns in one
process; a figure is the least CPU time over the rounds, as other programs only ever add to it.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from spconv.core import ConvAlgo
from spconv.pytorch import cppcore, ops
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pc_ssl.data.cache import Cache
from pc_ssl.files import write_json
from pc_ssl.heads import segmentation
from pc_ssl.heads.segmentation import SegmentationTask, Supervision
from pc_ssl.models import sparse
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.structures import PointBatch, SegmentationBatch

BATCH, ROUNDS, LINES = 4, 8, 12


@dataclass(frozen=True)
class Variant:
    """One way to take a step."""

    supervision: Supervision
    before: bool


VARIANTS = {
    "spconv, points": Variant("points", before=True),
    "own op, points": Variant("points", before=False),
    "own op, voxels": Variant("voxel_majority", before=False),
}


def task(supervision: Supervision) -> SegmentationTask:
    torch.manual_seed(0)
    backbone = SparseUNet((0.3, 0.3, 0.3), 1, 8, (16, 24, 32, 48), (1,) * 4, (48, 32, 24, 24), (1,) * 4)
    return SegmentationTask(backbone, lambda scene, generator: scene, supervision=supervision)


def batches(cache: Cache, split: str) -> list[SegmentationBatch]:
    rows = cache.indices(split)[: BATCH * ROUNDS]
    frames = [cache[row] for row in rows]
    found = []
    for start in range(0, len(frames) - BATCH + 1, BATCH):
        part = frames[start : start + BATCH]
        points = PointBatch.pack([torch.as_tensor(frame["points"]) for frame in part])
        label = torch.cat([torch.as_tensor(frame["label"]) for frame in part]).long()
        found.append(SegmentationBatch(tuple(map(str, rows[start : start + BATCH])), points, label))
    return found


def spconv_native(convolution: Any, x: Any) -> Any:
    convolution.algo = ConvAlgo.Native
    return convolution(x)


def lovasz_by_columns(probability: Tensor, target: Tensor) -> Tensor:
    """As `lovasz_softmax`, with the points of a class apart in memory."""
    present = target.unique()
    foreground = (target[:, None] == present).float()
    error, order = (foreground - probability[:, present]).abs().sort(dim=0, descending=True)
    member = foreground.gather(0, order)
    total = member.sum(dim=0)
    jaccard = 1 - (total - member.cumsum(dim=0)) / (total + (1 - member).cumsum(dim=0))
    return (error * torch.cat([jaccard[:1], jaccard.diff(dim=0)])).sum(dim=0).mean()


def step(module: SegmentationTask, variant: Variant, batch: SegmentationBatch) -> tuple[float, float]:
    """CPU seconds, and the loss."""
    module.zero_grad()
    start = time.process_time()
    if variant.before:
        with (
            mock.patch.object(sparse, "_convolve", spconv_native),
            mock.patch.object(segmentation, "lovasz_softmax", lovasz_by_columns),
        ):
            loss = module(batch)["loss"]
    else:
        loss = module(batch)["loss"]
    loss.backward()
    return time.process_time() - start, loss.item()


class Timer(TorchDispatchMode):
    """CPU seconds of each of torch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        start = time.process_time()
        result = func(*args, **(kwargs or {}))
        self.seconds[str(func)] += time.process_time() - start
        return result


def least_by_operation(run: Callable[[], object]) -> dict[str, float]:
    rounds = []
    for _ in range(ROUNDS):
        with Timer() as timer:
            run()
        rounds.append(timer.seconds)
    least = {name: min(seconds[name] for seconds in rounds) for name in rounds[0]}
    return dict(sorted(least.items(), key=lambda entry: -entry[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="prepared cache with labels of points")
    parser.add_argument("--split", default="train", help="its frames are taken in order")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cppcore.get_current_stream = ops.get_current_stream = lambda: 0  # asked for on the CPU too, then not used
    data = batches(Cache(arguments.cache), arguments.split)
    modules = {name: task(variant.supervision) for name, variant in VARIANTS.items()}
    seconds: dict[str, list[float]] = defaultdict(list)
    losses: dict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS):
        for name, variant in VARIANTS.items():
            spent, loss = step(modules[name], variant, data[number % len(data)])
            seconds[name].append(spent)
            losses[name].append(loss)
    least = {name: min(values) for name, values in seconds.items()}
    first, second, _ = VARIANTS
    difference = max(abs(a - b) / a for a, b in zip(losses[first], losses[second], strict=True))
    for name, value in least.items():
        print(f"{name}: {value * 1e3:.0f} ms a step, {least[first] / value:.2f} times as fast as {first}")
    print(f"losses on points differ by at most {difference:.1e}, relative")
    name, variant = list(VARIANTS.items())[-1]
    by_operation = least_by_operation(lambda: step(modules[name], variant, data[0]))
    print(f"{name}, by operation (the rest is Python and autograd):")
    for operation, value in list(by_operation.items())[:LINES]:
        print(f"  {operation:45} {value * 1e3:6.1f} ms")
    if arguments.json is not None:
        write_json(
            arguments.json, {"threads": arguments.threads, "seconds": least, "difference": difference,
                             "operations": by_operation}
        )  # fmt: skip


if __name__ == "__main__":
    main()
