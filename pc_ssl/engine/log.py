"""Progress reports of a run: JSON lines, TensorBoard, and a line on standard output."""

from __future__ import annotations

import json
import math
import os
import resource
import time
from collections.abc import Mapping

import torch

from pc_ssl.engine.appended import AppendedFile, EventFile
from pc_ssl.engine.distributed import Process
from pc_ssl.engine.loop import Callback, StepResult
from pc_ssl.engine.run_folder import RunFolder

MIB = 2**20


class LogCallback(Callback):
    """Writes one line every `every` steps, and for the first and the last step.

    A line holds the step (counted from 1), every term that the module returned (of this step, mean over the
    processes), grad_norm before clipping, lr, seconds per step and the part of them spent waiting for data (means since
    the previous line), and the peak of memory in MiB (of the device, or of the process on a CPU).

    Args:
        folder: where to write.
        optimizer: whose learning rate to log.
        process: this process; the first one writes.
        every: steps between two lines.
        first_step: steps done before.
        last_step: steps done at the end.

    Raises:
        UserError: a file cannot be written; raised by the methods too.
    """

    def __init__(
        self,
        folder: RunFolder,
        optimizer: torch.optim.Optimizer,
        process: Process,
        every: int,
        first_step: int,
        last_step: int,
    ) -> None:
        self.optimizer, self.process, self.every, self.last_step = optimizer, process, every, last_step
        if process.is_first:
            self.lines = AppendedFile(folder.log)
            # Steps after the checkpoint were logged by a killed run, and will be logged again.
            self.board = EventFile(folder.tensorboard, first_step + 1)

    def start(self) -> None:
        self.since, self.steps, self.waited = time.perf_counter(), 0, 0.0

    def after_step(self, result: StepResult) -> None:
        step, outputs = result.step, result.terms
        self.steps += 1
        self.waited += result.waited
        if step % self.every == 0 or step in (1, self.last_step):
            values = self.process.mean(torch.stack([value.detach().float() for value in outputs.values()])).tolist()
            now = time.perf_counter()
            scalars = dict(zip(outputs, values, strict=True)) | {
                "lr": self.optimizer.param_groups[0]["lr"],
                "seconds": (now - self.since) / self.steps,
                "data_seconds": self.waited / self.steps,
                "memory_mib": peak_memory(self.process.device) / MIB,
            }
            if self.process.is_first:
                self._write(step, scalars)
            self.since, self.steps, self.waited = now, 0, 0.0

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add values to TensorBoard's files alone, such as scores of a validation."""
        if self.process.is_first:
            self.board.add(step, scalars)

    def pause(self, seconds: float) -> None:
        """Leave the last `seconds` out of the seconds per step."""
        self.since += seconds

    def sync(self) -> None:
        """Flush to the disk, so that a checkpoint is never newer than the log."""
        if self.process.is_first:
            self.lines.sync()

    def close(self) -> None:
        """Close the files."""
        if self.process.is_first:
            self.lines.close()
            self.board.close()

    def _write(self, step: int, scalars: Mapping[str, float]) -> None:
        known = {name: value if math.isfinite(value) else None for name, value in scalars.items()}
        self.lines.write((json.dumps({"step": step} | known) + "\n").encode())
        self.board.add(step, {f"train/{name}": value for name, value in scalars.items()})
        terms = "  ".join(f"{name} {value:.4g}" for name, value in scalars.items())
        print(f"step {step}/{self.last_step}  {terms}", flush=True)


def peak_memory(device: torch.device) -> int:
    """Bytes: the peak allocated on a CUDA device, or the largest resident size that this process had."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a CUDA device, or available on this machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
