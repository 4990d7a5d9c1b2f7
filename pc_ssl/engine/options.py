"""Options of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pc_ssl.engine.schedule import SCHEDULES, Cosine, Cyclic, OneCycle, Schedule
from pc_ssl.errors import UserError


@dataclass(frozen=True)
class TrainOptions:
    """Options of one training run.

    Args:
        steps: number of optimiser steps.
        batch_size: frames per step over all processes together, so that the learning rate does not depend on the number
            of processes.
        learning_rate: the peak of the schedule, for every schedule.
        weight_decay: decoupled decay of AdamW.
        schedule: "one_cycle" and "cyclic" rise and fall, and vary AdamW's first beta inversely; "cosine" decays from
            the start. An instance of `OneCycle`, `Cyclic` or `Cosine` sets other constants, such as a warm-up.
        clip_norm: gradients of a larger L2 norm are scaled down to it. 10 in the SECOND family.
        learning_rate_multipliers: prefix of parameter names, such as "head" or "backbone.camera.image" -> factor on the
            learning rate of these parameters. The longest matching prefix applies.
        layer_decay: layer-wise decay of the learning rate: block i of the backbone's L blocks (`Network.blocks`, the
            stem is 0) learns at layer_decay^(L - i) times the rate, and everything outside the backbone at the rate
            itself, as in BEiT (Bao et al., ICLR 2022, Appendix H; microsoft/unilm, beit/optim_factory.py). It
            multiplies `learning_rate_multipliers`. None: one rate.
        validate_every: fine-tuning only: steps between two evaluations on the validation split; the last step is
            always followed by one. The weights of the highest score are kept. None: those of the last step.
        validate_frames: evaluate at most this many frames then, spread evenly over the split; None: all.
        precision: "bf16" runs the forward pass in bfloat16 where autocast deems it safe; weights stay float32.
        num_workers: loader processes for each training process; 0 loads in the training process.
        log_every: steps between two lines of the log.
        checkpoint_every: steps between two checkpoints; one is always written after the last step.
        seed: of initialisation, order, augmentation and random numbers of the forward pass.

    Raises:
        UserError: a value is out of range.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    schedule: Literal["one_cycle", "cosine", "cyclic"] | OneCycle | Cosine | Cyclic = "one_cycle"
    clip_norm: float = 10.0
    learning_rate_multipliers: Mapping[str, float] = field(default_factory=dict)
    layer_decay: float | None = None
    validate_every: int | None = None
    validate_frames: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    num_workers: int = 4
    log_every: int = 50
    checkpoint_every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("weight_decay", "num_workers", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least 0")
        for name in ("learning_rate", "clip_norm"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name} is {getattr(self, name)}, expected more than 0")
        for name in ("validate_every", "validate_frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}, expected at least 1, or None")
        if self.validate_frames is not None and self.validate_every is None:
            raise UserError("validate_frames is set without validate_every; set how often to validate")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise UserError(f"layer_decay is {self.layer_decay}, expected more than 0 and at most 1, or None")
        for prefix, factor in self.learning_rate_multipliers.items():
            if not isinstance(factor, (int, float)) or factor <= 0:
                raise UserError(f"learning_rate_multipliers: {prefix!r} is {factor!r}, expected a number above 0")
        if isinstance(self.schedule, Cosine) and self.schedule.warmup_steps >= self.steps:
            raise UserError(
                f"schedule.warmup_steps is {self.schedule.warmup_steps}, expected fewer than steps, {self.steps}"
            )

    @property
    def learning_rate_schedule(self) -> Schedule:
        """`schedule`, with its default constants where it is a name."""
        return SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule


# A resumed run may change these: they affect speed and reports, not the computed numbers.
RESUMABLE_CHANGES = frozenset({"num_workers", "log_every", "checkpoint_every"})
