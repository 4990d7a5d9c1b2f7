"""Callbacks of the training loop: the schedule before a step, a checkpoint after it."""

from __future__ import annotations

import torch
from torch import nn

from pc_ssl.engine.checkpoint import save_checkpoint
from pc_ssl.engine.distributed import Process
from pc_ssl.engine.log import LogCallback
from pc_ssl.engine.loop import Callback, StepResult
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.run_folder import RunFolder

PEAK_LR_KEY = "peak_lr"  # entry of a parameter group: the learning rate that the schedule's factor multiplies


class ScheduleCallback(Callback):
    """Sets learning rate and first beta of every parameter group for the step that follows."""

    def __init__(self, optimizer: torch.optim.Optimizer, options: TrainOptions) -> None:
        self.optimizer, self.options = optimizer, options

    def before_step(self, step: int) -> None:
        factors = self.options.learning_rate_schedule.factors(step, self.options.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = factors.learning_rate * group[PEAK_LR_KEY]
            group["betas"] = (factors.beta, group["betas"][1])


class CheckpointCallback(Callback):
    """Replaces the run's checkpoint after each `checkpoint_every`-th step and after the last one."""

    def __init__(
        self,
        folder: RunFolder,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        options: TrainOptions,
        process: Process,
        log: LogCallback,
    ) -> None:
        self.folder, self.module, self.optimizer = folder, module, optimizer
        self.options, self.process, self.log = options, process, log

    def after_step(self, result: StepResult) -> None:
        due = result.step % self.options.checkpoint_every == 0 or result.step == self.options.steps
        if due and self.process.is_first:
            self.log.sync()
            save_checkpoint(self.folder.checkpoint, result.step, self.module, self.optimizer)
