"""The training state: one safetensors file, replaced atomically.

It holds the module's tensors under `module.` and the optimiser's under `optimizer.<name in the state>.<parameter>`; the
number of steps done is in the metadata. A run that validates adds its scores and the best weights (`Validated`).
Everything else is a function of the step: batches, augmentation, the forward pass's randomness, learning rate. A
process killed at any moment leaves the previous or the new checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn, optim

from pc_ssl.engine.validation import Validated
from pc_ssl.engine.weights import read_tensors, write_tensors
from pc_ssl.errors import UserError

MODULE, OPTIMIZER, STEP = "module.", "optimizer.", "step"


def save_checkpoint(
    path: Path, step: int, module: nn.Module, optimizer: optim.Optimizer, validated: Validated | None = None
) -> None:
    """Write the state after `step` steps atomically.

    Raises:
        UserError: the file cannot be written.
    """
    tensors = {MODULE + name: value for name, value in module.state_dict().items()}
    for name, parameter in _parameters(module, optimizer).items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"{OPTIMIZER}{key}.{name}"] = value
    if validated is None:
        write_tensors(path, tensors, {STEP: str(step)})
    else:
        write_tensors(path, tensors | validated.tensors(), {STEP: str(step)} | validated.metadata())


def load_checkpoint(path: Path, module: nn.Module, optimizer: optim.Optimizer) -> int:
    """Restore the state, and return the number of steps done.

    Raises:
        UserError: the file is damaged, or does not belong to this module.
    """
    tensors, metadata = read_tensors(path)
    state = {name.removeprefix(MODULE): value for name, value in tensors.items() if name.startswith(MODULE)}
    _check(path, state, module.state_dict())
    if not metadata.get(STEP, "").isdigit():
        raise UserError(f"{path}: not a training checkpoint; its metadata has no {STEP!r}")
    module.load_state_dict(state)
    parameters = _parameters(module, optimizer)
    index = {name: number for number, name in enumerate(parameters)}
    moments: dict[int, dict[str, Tensor]] = {}
    for full_name, value in tensors.items():
        if full_name.startswith(OPTIMIZER):
            key, _, name = full_name.removeprefix(OPTIMIZER).partition(".")
            moments.setdefault(index[name], {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(metadata[STEP])


def _parameters(module: nn.Module, optimizer: optim.Optimizer) -> dict[str, nn.Parameter]:
    """Name -> parameter, in the order in which the optimiser numbers them."""
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {names[parameter]: parameter for group in optimizer.param_groups for parameter in group["params"]}


def _check(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name in [*expected, *found]:
        shapes = [list(side[name].shape) if name in side else None for side in (found, expected)]
        if shapes[0] != shapes[1]:
            raise UserError(f"{path}: checkpoint of another network: {name} is {shapes[0]}, expected {shapes[1]}")
