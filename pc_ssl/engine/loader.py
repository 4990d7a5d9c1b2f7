"""From frames to batches, in loader processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

from pc_ssl.data.sampler import Draw, StepBatches
from pc_ssl.engine.distributed import Process
from pc_ssl.engine.options import TrainOptions
from pc_ssl.errors import UserError

LOADER_DIED = (
    "a loader process was ended from outside, as systems do when memory runs out; the checkpoint is kept: "
    "lower train.num_workers or train.batch_size and go on with --resume"
)


class Frames(Protocol):
    """A data set whose samples depend on the draw alone."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: Draw) -> Any: ...


def step_loader(
    dataset: Frames, collate: Callable[[Sequence[Any]], Any], options: TrainOptions, process: Process, first_step: int
) -> DataLoader:
    """The batches of the steps after `first_step`, this process's share of each.

    In place of a batch whose frames cannot be read comes the UserError that says why: torch's loader would wrap an
    exception's message into a traceback.

    Raises:
        UserError: the batch is larger than the data set, or cannot be shared equally among the processes.
    """
    batches = StepBatches(
        len(dataset), options.batch_size, options.seed, first_step, options.steps, process.rank, process.world_size
    )
    return DataLoader(
        _CarryErrors(dataset), batch_sampler=batches, num_workers=options.num_workers, collate_fn=_Collate(collate)
    )


@contextlib.contextmanager
def worker_death_as_error() -> Iterator[None]:
    """Report a loader process that was killed in one line.

    Raises:
        UserError: in place of torch's RuntimeError, raised wherever this process happens to be, or of the broken
            connection that a batch was being received through.
    """
    try:
        try:
            yield
        except (ConnectionError, EOFError) as error:
            raise UserError(LOADER_DIED) from error
    except RuntimeError as error:  # of a signal's handler, also while the broken connection is handled
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(LOADER_DIED) from error


@dataclass(frozen=True)
class _CarryErrors(Dataset):
    dataset: Frames

    def __getitem__(self, draw: Draw) -> Any:
        try:
            return self.dataset[draw]
        except UserError as error:
            return error


@dataclass(frozen=True)
class _Collate:
    collate: Callable[[Sequence[Any]], Any]

    def __call__(self, samples: Sequence[Any]) -> Any:
        errors = [sample for sample in samples if isinstance(sample, UserError)]
        return errors[0] if errors else self.collate(samples)
