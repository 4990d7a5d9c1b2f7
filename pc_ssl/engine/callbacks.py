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
from pc_ssl.engine.validation import ValidationCallback
from pc_ssl.errors import UserError

ZERO_GRADIENT_STEPS = 20  # consecutive steps after which a run is stopped
SHOWN = 5  # skipped frames that are reported by name
PEAK_LR_KEY = "peak_lr"  # entry of a parameter group: the learning rate that the schedule's factor multiplies


class ScheduleCallback(Callback):
    """Sets learning rate and first beta of every parameter group before a step."""

    def __init__(self, optimizer: torch.optim.Optimizer, options: TrainOptions) -> None:
        self.optimizer, self.options = optimizer, options

    def before_step(self, step: int) -> None:
        factors = self.options.learning_rate_schedule.factors(step, self.options.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = factors.learning_rate * group[PEAK_LR_KEY]
            group["betas"] = (factors.beta, group["betas"][1])


class ZeroGradientGuard(Callback):
    """Stops a run whose gradient was 0 in each of the last steps.

    Args:
        steps: of the run; a run shorter than `ZERO_GRADIENT_STEPS` is stopped if all its gradients are 0.

    Raises:
        UserError: by `after_step`.
    """

    def __init__(self, steps: int) -> None:
        self.limit, self.without_gradient = min(steps, ZERO_GRADIENT_STEPS), 0

    def after_step(self, result: StepResult) -> None:
        self.without_gradient = self.without_gradient + 1 if float(result.terms["grad_norm"]) == 0 else 0
        if self.without_gradient == self.limit:
            loss = float(result.terms["loss"].detach())
            raise UserError(
                f"step {result.step}: the gradient was 0 in {self.limit} steps in a row, loss {loss:g}: nothing is "
                "learned. Check for frames without what the training needs (labels that are all ignored, no boxes, "
                "regions, point-pixel pairs or neighbouring frames; pc-ssl report CACHE shows them) and for "
                "parameters that are all frozen"
            )


class LeftOutCallback(Callback):
    """Reports frames that are too small to train on: the first ones as they occur, their number at the end."""

    def __init__(self) -> None:
        self.lines: dict[str, None] = {}

    def after_step(self, result: StepResult) -> None:
        for line in result.left_out:
            if line not in self.lines:
                self.lines[line] = None
                if len(self.lines) <= SHOWN:
                    print(f"left out         {line}", flush=True)

    def report(self) -> None:
        """The number of different frames, if there are any."""
        if self.lines:
            print(f"left out         {len(self.lines)} frames that are too small to train on", flush=True)


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
        validation: ValidationCallback | None = None,
    ) -> None:
        self.folder, self.module, self.optimizer = folder, module, optimizer
        self.options, self.process, self.log, self.validation = options, process, log, validation

    def after_step(self, result: StepResult) -> None:
        due = result.step % self.options.checkpoint_every == 0 or result.step == self.options.steps
        if due and self.process.is_first:
            self.log.sync()
            validated = None if self.validation is None else self.validation.validated
            save_checkpoint(self.folder.checkpoint, result.step, self.module, self.optimizer, validated)
