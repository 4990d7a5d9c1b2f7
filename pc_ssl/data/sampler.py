"""Frames and random seeds of the batch of a step: a pure function of (seed, step).

No state is kept between steps, so training resumes at any step without replaying earlier ones, and the batch of a step
is the same for any number of processes and loader workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pc_ssl.errors import UserError

# First word of numpy's spawn key: independent streams for different purposes.
ORDER, VIEW, FORWARD, BALANCE = 0, 1, 2, 3


MIN_POINTS = 16  # of a frame inside the networks' grids; fewer have no neighbourhoods


class TooSmall(Exception):
    """A frame has too few points for training, or no two images that overlap; the message contains its token."""


class Draw(NamedTuple):
    """One sample to load: row of the data set, and the (seed, epoch) of its augmentation."""

    row: int
    seed: int
    epoch: int

    def rng(self) -> np.random.Generator:
        """The generator of this frame in this epoch, independent of batch and worker."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(VIEW, self.epoch, self.row)))


class StepBatches:
    """The batches of steps `first_step`..`last_step` - 1, one list of draws per step: a batch sampler.

    Each epoch is a new permutation of the rows, cut into whole batches; the remaining rows differ between epochs.
    Process `rank` gets a contiguous share of each batch.

    Args:
        num_rows: size of the data set.
        batch_size: frames per step, summed over all processes.
        seed: of order and augmentation.
        first_step: the first step to draw.
        last_step: one past the last step to draw.
        rank: index of this process.
        world_size: number of processes.

    Raises:
        UserError: the batch is larger than the data set, or cannot be shared equally among the processes.
    """

    def __init__(
        self,
        num_rows: int,
        batch_size: int,
        seed: int,
        first_step: int,
        last_step: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size > num_rows:
            raise UserError(
                f"train.batch_size is {batch_size}, but there are only {num_rows} frames to train on: choose a larger "
                f"fraction of the labels, or --set train.batch_size={num_rows}"
            )
        if batch_size % world_size:
            raise UserError(f"train.batch_size is {batch_size}, which {world_size} processes cannot share equally")
        self.num_rows, self.batch_size, self.seed = num_rows, batch_size, seed
        self.steps = range(first_step, last_step)
        share = batch_size // world_size
        self.share = slice(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Draw]]:
        per_epoch = steps_per_epoch(self.num_rows, self.batch_size)
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in self.steps:
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = _order(self.num_rows, self.seed, epoch)
            start = step % per_epoch * self.batch_size
            rows = order[start : start + self.batch_size][self.share]
            yield [Draw(int(row), self.seed, epoch) for row in rows]


def steps_per_epoch(num_rows: int, batch_size: int) -> int:
    """Whole batches in one pass over the data set."""
    return num_rows // batch_size


def forward_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's generators for the forward pass of one step in one process."""
    sequence = np.random.SeedSequence(seed, spawn_key=(FORWARD, step, rank))
    return int(sequence.generate_state(1, np.uint64)[0])


def _order(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(ORDER, epoch))).permutation(num_rows)
