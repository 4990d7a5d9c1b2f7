"""The training loop: batches, steps and callbacks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pc_ssl.data.sampler import forward_seed
from pc_ssl.engine.distributed import Process
from pc_ssl.engine.loader import Loaded
from pc_ssl.engine.step import NonFinite, TrainStep, seed_forward
from pc_ssl.errors import UserError
from pc_ssl.files import write_json


@dataclass(frozen=True)
class StepResult:
    """Result of a step.

    Args:
        step: its number, counted from 1.
        terms: the module's terms and "grad_norm", scalars.
        waited: seconds spent waiting for the batch.
        left_out: a line for each frame that is too small to train on.
    """

    step: int
    terms: dict[str, Tensor]
    waited: float
    left_out: tuple[str, ...] = ()


class Callback:
    """Called around the steps; the methods do nothing unless a subclass defines them."""

    def start(self) -> None:
        """Before the first step."""

    def before_step(self, step: int) -> None:
        """Before step `step`, counted from 0."""

    def after_step(self, result: StepResult) -> None:
        """After the weights were updated."""


def run_steps(
    train_step: TrainStep,
    batches: Iterable[Loaded | UserError],
    callbacks: Sequence[Callback],
    process: Process,
    *,
    first_step: int,
    seed: int,
    folder: Path,
) -> None:
    """One step for each batch.

    Args:
        train_step: performs a step.
        batches: one per remaining step, or the UserError that occurred while reading it.
        callbacks: called in this order.
        process: this process.
        first_step: number of the first step, counted from 0.
        seed: of the forward pass's randomness.
        folder: for the report of a step that is not finite.

    Raises:
        UserError: a frame cannot be read, or the loss or the gradient is not finite.
    """
    train_step.train()
    for callback in callbacks:
        callback.start()
    asked = time.perf_counter()
    for step, loaded in enumerate(batches, start=first_step):
        waited = time.perf_counter() - asked
        if isinstance(loaded, UserError):
            raise loaded
        for callback in callbacks:
            callback.before_step(step)
        seed_forward(forward_seed(seed, step, process.rank), process.device)
        try:
            terms = train_step(loaded.batch)
        except NonFinite as error:
            report = folder / f"non_finite_rank{process.rank}.json"
            write_json(report, {"step": step + 1, "found": str(error), "tokens": list(loaded.batch.tokens)})
            raise UserError(
                f"step {step + 1}: not finite: {error}; frames {', '.join(loaded.batch.tokens)} (also in {report}); "
                "check them with pc-ssl verify, or lower train.learning_rate"
            ) from error
        for callback in callbacks:
            callback.after_step(StepResult(step + 1, terms, waited, loaded.left_out))
        asked = time.perf_counter()
