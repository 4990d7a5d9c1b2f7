"""Train a module on a data set, with its state in a folder, so that a run can be killed and resumed at any moment.

A training object (a pretraining method or a downstream task) is an nn.Module with
    views(scene, rng) -> sample       in loader processes
    collate(samples) -> batch         with `tokens` and `to(device)`
    forward(batch) -> terms           {"loss": ..., further named terms}, each a scalar
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pc_ssl.data.sampler import steps_per_epoch
from pc_ssl.engine.callbacks import (
    PEAK_LR_KEY,
    CheckpointCallback,
    LeftOutCallback,
    ScheduleCallback,
    ZeroGradientGuard,
)
from pc_ssl.engine.checkpoint import load_checkpoint
from pc_ssl.engine.distributed import Process, join
from pc_ssl.engine.loader import Frames, step_loader, worker_death_as_error
from pc_ssl.engine.log import LogCallback
from pc_ssl.engine.loop import run_steps
from pc_ssl.engine.options import RESUMABLE_CHANGES, TrainOptions
from pc_ssl.engine.run_folder import RunFolder
from pc_ssl.engine.step import TrainStep
from pc_ssl.engine.validation import Validate, Validated, ValidationCallback, check_validation, read_validated
from pc_ssl.errors import UserError
from pc_ssl.progress import track

__all__ = ["TrainOptions", "describe", "make_optimizer", "train"]


def train(
    module: nn.Module,
    dataset: Frames,
    options: TrainOptions,
    work_dir: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    validate: Validate | None = None,
) -> Validated | None:
    """Train `module` in place for `options.steps` steps.

    The same module, data and options give the same losses: for any number of loader workers, for a run that was killed
    and resumed, and, on a CPU with an equal number of threads, to the last bit. Under `torchrun` each process trains on
    its share of the same batches.

    Args:
        module: a training object, initialised.
        dataset: `dataset[draw]` is the sample of a `pc_ssl.data.sampler.Draw`, or raises `TooSmall`: another frame
            then replaces it.
        options: of the run.
        work_dir: folder for the log, TensorBoard's files and the checkpoint; created if needed.
        resume: resume the run in `work_dir`; start if there is none.
        device: "cpu", "cuda" or "auto".
        settings: everything else that the numbers depend on (JSON values by name); a run is only resumed with equal
            settings.
        validate: with `options.validate_every`: evaluates the module on the validation split.

    Returns:
        The scores of the validations, if there were any; the module then has the weights of the best one.

    Raises:
        UserError: `work_dir` holds a run and `resume` is not set, or one with other settings; a frame cannot be read;
            the loss is not finite; the gradient is 0 in consecutive steps; a loader process was
            killed; a file cannot be written.
    """
    check_validation(options, validate)
    folder = RunFolder(work_dir)
    everything = {f"train.{name}": value for name, value in asdict(options).items() if name not in RESUMABLE_CHANGES}
    everything |= {"frames": len(dataset), **(settings or {})}
    with join(device) as process:
        folder.check(everything, resume)
        module.to(process.device)
        optimizer = make_optimizer(module, options)
        first_step = load_checkpoint(folder.checkpoint, module, optimizer) if folder.checkpoint.exists() else 0
        loader = step_loader(dataset, module.collate, options, process, first_step)  # type: ignore[arg-type]
        process.wait_for_all()
        if process.is_first:
            folder.open(everything, first_step)
            print(describe(module, dataset, options, process))
            if resume:
                print(f"resume           {_resumed(folder, first_step, options)}", flush=True)
        process.wait_for_all()
        log = LogCallback(folder, optimizer, process, options.log_every, first_step, options.steps)
        validation = None
        if validate is not None and options.validate_every is not None:
            before = read_validated(folder.checkpoint) if first_step else None
            validation = ValidationCallback(module, validate, options, before, process, log)
        checkpoint = CheckpointCallback(folder, module, optimizer, options, process, log, validation)
        left_out, guard = LeftOutCallback(), ZeroGradientGuard(options.steps)
        callbacks = [ScheduleCallback(optimizer, options), log, left_out, guard]
        callbacks += [checkpoint] if validation is None else [validation, checkpoint]
        batches: Iterable[Any] = loader
        if process.is_first:
            batches = track(loader, total=options.steps - first_step, what="train", unit="step")
        try:
            step = TrainStep(module, optimizer, options, process)
            with worker_death_as_error():
                run_steps(
                    step, batches, callbacks, process, first_step=first_step, seed=options.seed, folder=folder.path
                )
            left_out.report()
        finally:
            log.close()
        if validation is None or validation.validated is None:
            return None
        module.load_state_dict(validation.validated.weights)
        return validation.validated


def make_optimizer(module: nn.Module, options: TrainOptions) -> torch.optim.AdamW:
    """AdamW on the parameters that require gradients, grouped by their learning rate.

    Raises:
        UserError: no parameter has a prefix of `options.learning_rate_multipliers`.
        ValueError: with `layer_decay`: the backbone's `blocks` leave a parameter out.
    """
    multipliers = options.learning_rate_multipliers
    decay = {} if options.layer_decay is None else layer_factors(module, options.layer_decay)
    unused, groups = set(multipliers), {1.0: list[nn.Parameter]()}
    for name, parameter in module.named_parameters():
        fitting = [prefix for prefix in multipliers if f"{name}.".startswith(f"{prefix}.")]
        unused -= set(fitting)
        if parameter.requires_grad:
            factor = (multipliers[max(fitting, key=len)] if fitting else 1.0) * decay.get(name, 1.0)
            groups.setdefault(factor, []).append(parameter)
    if unused:
        parts = ", ".join(name for name, _ in module.named_children())
        raise UserError(f"train.learning_rate_multipliers: no parameter is below {min(unused)!r}; parts are {parts}")
    return torch.optim.AdamW(
        [
            {"params": parameters, PEAK_LR_KEY: options.learning_rate * factor}
            for factor, parameters in groups.items()
            if parameters
        ],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
    )


def layer_factors(module: Any, decay: float) -> dict[str, float]:
    """Name of each parameter of the backbone -> its factor decay^(L - i), where block i of L blocks holds it.

    Raises:
        ValueError: the backbone's `blocks` leave a parameter out.
    """
    blocks = module.backbone.blocks
    factors = {}
    for name, _ in module.backbone.named_parameters():
        of = [i for i, block in enumerate(blocks) if any(f"{name}.".startswith(f"{part}.") for part in block)]
        if len(of) != 1:
            raise ValueError(f"{type(module.backbone).__name__}.blocks: {name} is in {len(of)} blocks, expected one")
        factors[f"backbone.{name}"] = decay ** (len(blocks) - of[0])
    return factors


def describe(module: nn.Module, dataset: Frames, options: TrainOptions, process: Process) -> str:
    """Summary of a run before it starts, in a few lines."""
    frames, parameters = len(dataset), sum(p.numel() for p in module.parameters())
    backbone = sum(p.numel() for p in module.get_submodule("backbone").parameters())
    per_epoch = steps_per_epoch(frames, options.batch_size)
    factors = "".join(f", x {factor:g} in {prefix}" for prefix, factor in options.learning_rate_multipliers.items())
    factors += "" if options.layer_decay is None else f", x {options.layer_decay:g} for each block from the head"
    share = options.batch_size // process.world_size
    return "\n".join(
        [
            f"parameters       {parameters:,}, of them {backbone:,} in the backbone",
            f"frames           {frames:,}: {per_epoch:,} batches of {options.batch_size} per epoch",
            f"steps            {options.steps:,}: {options.steps / per_epoch:.4g} epochs",
            f"learning rate    {options.learning_rate:g} at most{factors} ({options.schedule}), for a total batch of "
            f"{options.batch_size}: {share} on each of {process.world_size} processes",
            f"device           {process.device}, {options.precision}, seed {options.seed}",
        ]
    )


def _resumed(folder: RunFolder, first_step: int, options: TrainOptions) -> str:
    if first_step == 0:
        return f"no checkpoint in {folder.path}: starting from the beginning"
    if first_step == options.steps:
        return f"all {first_step} steps are done already"
    return f"going on after step {first_step} of {options.steps}"
