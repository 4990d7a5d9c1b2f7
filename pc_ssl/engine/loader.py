"""Batches for training, loaded by worker processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

from pc_ssl.data.sampler import Draw, StepBatches, TooSmall
from pc_ssl.engine.distributed import Process
from pc_ssl.engine.options import TrainOptions
from pc_ssl.errors import UserError

LOADER_DIED = (
    "a loader process was ended from outside, as systems do when memory runs out; the checkpoint is kept: "
    "lower train.num_workers or train.batch_size and go on with --resume"
)


MAX_LEFT_OUT = 32  # frames in a row that are too small: then the data set is likely unusable


class Frames(Protocol):
    """A data set whose samples depend on the draw alone; raises `TooSmall` if the frame of a draw cannot be used."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: Draw) -> Any: ...


@dataclass(frozen=True)
class Loaded:
    """A batch, and the frames that were replaced in it.

    Args:
        batch: of samples.
        left_out: for each frame that is too small to train on, a line that names it.
    """

    batch: Any
    left_out: tuple[str, ...]


def step_loader(
    dataset: Frames, collate: Callable[[Sequence[Any]], Any], options: TrainOptions, process: Process, first_step: int
) -> DataLoader:
    """The batches of the steps after `first_step`, this process's share of each, as `Loaded`.

    A frame that is too small is replaced by the next frame of the data set that is large enough, so that all batches
    have the same size; the replacement depends on the draw alone.

    A batch whose frames cannot be read is replaced by the UserError: torch's loader would wrap an
    exception's message into a traceback.

    Raises:
        UserError: the batch is larger than the data set, or cannot be shared equally among the processes.
    """
    batches = StepBatches(
        len(dataset), options.batch_size, options.seed, first_step, options.steps, process.rank, process.world_size
    )
    return DataLoader(
        _Samples(dataset), batch_sampler=batches, num_workers=options.num_workers, collate_fn=_Collate(collate)
    )


@contextlib.contextmanager
def worker_death_as_error() -> Iterator[None]:
    """Report a loader process that was killed in one line.

    Raises:
        UserError: instead of torch's RuntimeError, which may be raised anywhere in this process, or of the broken
            connection through which a batch was received.
    """
    try:
        try:
            yield
        except (ConnectionError, EOFError) as error:
            raise UserError(LOADER_DIED) from error
    except RuntimeError as error:  # from a signal handler, also while the broken connection is handled
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(LOADER_DIED) from error


@dataclass(frozen=True)
class _Samples(Dataset):
    dataset: Frames

    def __getitem__(self, draw: Draw) -> Loaded | UserError:
        """The sample of the draw, or of the next frame that is large enough."""
        left_out: list[str] = []
        for ahead in range(min(len(self.dataset), MAX_LEFT_OUT)):
            try:
                sample = self.dataset[draw._replace(row=(draw.row + ahead) % len(self.dataset))]
                return Loaded(sample, tuple(left_out))
            except TooSmall as error:
                left_out.append(str(error))
            except UserError as error:
                return error
        return UserError(
            f"{left_out[0]}; the {len(left_out) - 1} frames after it cannot be trained on either; "
            "compare the units and the extent of the points with the network's grid, and the settings of the views"
        )


@dataclass(frozen=True)
class _Collate:
    collate: Callable[[Sequence[Any]], Any]

    def __call__(self, samples: Sequence[Loaded | UserError]) -> Loaded | UserError:
        for sample in samples:
            if isinstance(sample, UserError):
                return sample
        loaded = [sample for sample in samples if isinstance(sample, Loaded)]
        left_out = tuple(line for sample in loaded for line in sample.left_out)
        return Loaded(self.collate([sample.batch for sample in loaded]), left_out)
