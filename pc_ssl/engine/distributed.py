"""The process group of a run, and the device of this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import distributed

from pc_ssl.errors import UsageError


@dataclass(frozen=True)
class Process:
    """One of `world_size` training processes, and its device."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def wait_for_all(self) -> None:
        """Block until every process has reached this call."""
        if self.world_size > 1:
            distributed.barrier()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the processes; a collective call."""
        if self.world_size > 1:
            distributed.all_reduce(values)
        return values / self.world_size


@contextlib.contextmanager
def join(device: str) -> Iterator[Process]:
    """Join the processes that `torchrun` started; without it there is one process.

    Args:
        device: "cpu", "cuda" or "auto" (CUDA if available).

    Raises:
        UsageError: an unknown device, or CUDA is not available.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r}: expected cpu, cuda or auto")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda': this build of torch sees no CUDA device; use cpu or auto")
    use_cuda = device != "cpu" and torch.cuda.is_available()
    if not distributed.is_torchelastic_launched():
        yield Process(0, 1, torch.device("cuda" if use_cuda else "cpu"))
        return
    place = torch.device("cuda", distributed.get_node_local_rank()) if use_cuda else torch.device("cpu")
    if use_cuda:
        torch.cuda.set_device(place)
    joined_here = not distributed.is_initialized()
    if joined_here:
        distributed.init_process_group("nccl" if use_cuda else "gloo")
    try:
        yield Process(distributed.get_rank(), distributed.get_world_size(), place)
    finally:
        if joined_here:
            distributed.destroy_process_group()
