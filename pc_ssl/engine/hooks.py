"""What happens around a step: set the pace before it, leave a checkpoint after it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from torch import nn

from pc_ssl.engine.checkpoint import save_checkpoint
from pc_ssl.engine.distributed import Process
from pc_ssl.engine.log import LogHook
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.run_folder import RunFolder
from pc_ssl.engine.schedule import pace

HIGHEST = "highest_lr"  # entry of a parameter group: the learning rate that the schedule's factor multiplies


class ScheduleHook(Hook):
    """Sets learning rate and first beta of every parameter group for the step that follows."""

    def __init__(self, options: TrainOptions) -> None:
        self.options = options

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        now = pace(self.options.schedule, batch_idx, self.options.steps)
        for group in runner.optim_wrapper.optimizer.param_groups:
            group["lr"] = now.factor * group[HIGHEST]
            group["betas"] = (now.beta, group["betas"][1])


class CheckpointHook(Hook):
    """Replaces the run's checkpoint after each `checkpoint_every`-th step and after the last one."""

    def __init__(
        self, folder: RunFolder, module: nn.Module, options: TrainOptions, process: Process, log: LogHook
    ) -> None:
        self.folder, self.module, self.options, self.process, self.log = folder, module, options, process, log

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        step = batch_idx + 1
        due = step % self.options.checkpoint_every == 0 or step == self.options.steps
        if due and self.process.is_first:
            self.log.sync()
            save_checkpoint(self.folder.checkpoint, step, self.module, runner.optim_wrapper.optimizer)
