"""Validation during training: the weights of the best score on the validation split are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pc_ssl.engine.distributed import Process
from pc_ssl.engine.log import LogCallback
from pc_ssl.engine.loop import Callback, StepResult
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.weights import read_tensors
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import Result

BEST, VALIDATION = "best.", "validation"  # in a checkpoint: prefix of the best weights; metadata of the scores

Validate = Callable[[], Result]  # of the module that is trained, which it may set to eval mode


@dataclass(frozen=True)
class Validated:
    """Scores so far, and the weights of the best one.

    Args:
        score: name of the score, such as "miou".
        curve: (step, score) of each validation.
        weights: the module's state after `best_step`, on the CPU.
    """

    score: str
    curve: tuple[tuple[int, float], ...]
    weights: dict[str, Tensor]

    @property
    def best_step(self) -> int:
        """The first step of the highest score."""
        return max(self.curve, key=lambda point: point[1])[0]

    @property
    def best_score(self) -> float:
        return max(score for _, score in self.curve)

    def as_dict(self) -> dict[str, Any]:
        """For a result, without the weights; plain JSON values."""
        return {
            "score": self.score,
            "curve": [list(point) for point in self.curve],
            "best_step": self.best_step,
            "best_score": self.best_score,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The part of a checkpoint that holds the best weights."""
        return {BEST + name: value for name, value in self.weights.items()}

    def metadata(self) -> dict[str, str]:
        """The part of a checkpoint's metadata that holds the scores."""
        return {VALIDATION: json.dumps({"score": self.score, "curve": self.curve})}


def read_validated(path: Path) -> Validated | None:
    """The validations that a checkpoint holds; None: none yet.

    Raises:
        UserError: the file is missing or damaged.
    """
    tensors, metadata = read_tensors(path)
    if VALIDATION not in metadata:
        return None
    content = json.loads(metadata[VALIDATION])
    weights = {name.removeprefix(BEST): value for name, value in tensors.items() if name.startswith(BEST)}
    return Validated(content["score"], tuple((step, score) for step, score in content["curve"]), weights)


class ValidationCallback(Callback):
    """Validates after each `validate_every`-th step and after the last one.

    Args:
        module: that is trained; its weights, its mode and the random state of the training are as before.
        validate: evaluates the module.
        options: of the run, with `validate_every`.
        validated: of the steps before; None: none.
        process: this process; the first one reports.
        log: receives the scores, and leaves the time spent here out of the seconds per step.
    """

    def __init__(
        self,
        module: nn.Module,
        validate: Validate,
        options: TrainOptions,
        validated: Validated | None,
        process: Process,
        log: LogCallback,
    ) -> None:
        self.module, self.validate, self.options, self.validated = module, validate, options, validated
        self.process, self.log = process, log

    def after_step(self, result: StepResult) -> None:
        every = self.options.validate_every
        if every is None or (result.step % every and result.step != self.options.steps):
            return
        start = time.perf_counter()
        found = self.validate()
        self.module.train()
        before = self.validated
        curve = (*(before.curve if before else ()), (result.step, found.score))
        if before is None or found.score > before.best_score:
            weights = {name: value.detach().cpu().clone() for name, value in self.module.state_dict().items()}
        else:
            weights = before.weights
        self.validated = Validated(found.score_name, curve, weights)
        self.log.add(result.step, {f"val/{found.score_name}": found.score})
        self.log.pause(time.perf_counter() - start)
        if self.process.is_first:
            best = f"best {self.validated.best_score:.4g} at step {self.validated.best_step}"
            print(
                f"validate {result.step}/{self.options.steps}  {found.score_name} {found.score:.4g}  {best}", flush=True
            )


def validation_rows(rows: Sequence[int], options: TrainOptions) -> list[int]:
    """The frames of a validation during training: all, or `validate_frames` at even distances.

    >>> validation_rows(range(10), TrainOptions(1, 1, 1.0, validate_every=1, validate_frames=4))
    [0, 2, 5, 7]
    """
    count = len(rows) if options.validate_frames is None else min(options.validate_frames, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]


def check_validation(options: TrainOptions, validate: Validate | None) -> None:
    """Check that a run that is to validate can.

    Raises:
        UserError: `validate_every` is set, but there is nothing to validate by.
    """
    if options.validate_every is not None and validate is None:
        raise UserError(
            "train.validate_every is set, but only fine-tuning has labels to validate on; remove it from the config"
        )
