"""Checkpoint files of other frameworks: pickles of torch, read without running code, and their top-level keys."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.files import whole_file

# Keys under which the frameworks keep a network's tensors, the first that is there
TOP_LEVEL = ("model_state", "state_dict", "model_points", "model_point", "model")
WRAPPERS = ("module.",)  # prefixes of torch's parallel training
SUFFIX = ".safetensors"

# What a checkpoint's pickle may name besides tensors and plain containers: numpy's numbers in settings and counters
ALLOWED: tuple[Any, ...] = (
    np.dtype,
    np.ndarray,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
    type(np.dtype(np.int32)),
    type(np.dtype(np.int64)),
    type(np.float32(0)).__reduce__(np.float32(0))[0],  # numpy's constructor of a single number
)


@dataclass(frozen=True)
class FileForm:
    """How a framework's loader wants a checkpoint.

    Args:
        key: top-level key of the tensors; empty: they are the file's content.
        extra: further top-level entries.
        versioned: mark each module as version 2, without which mmdet3d permutes the kernels of spconv 2.
    """

    key: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    versioned: bool = False


FORMS: Mapping[str, FileForm] = {
    "openpcdet": FileForm("model_state"),
    "centerpoint": FileForm("state_dict"),
    "mmdet3d": FileForm("state_dict", versioned=True),
    "bevfusion": FileForm("state_dict"),
    "slidr": FileForm("model_points", {"config": {"voxel_size": 0.1, "cylindrical_coordinates": True}}),
    "clip2scene": FileForm("model_points", {"config": {"voxel_size": 0.1, "cylindrical_coordinates": False}}),
    "torchsparse": FileForm(""),
}


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a network in a checkpoint of another framework, on the CPU.

    The content is read as data: a pickle that names anything else than tensors, containers and numpy's numbers is
    refused before it runs.

    Raises:
        UserError: the file is missing or damaged, is refused, or holds no tensors.
    """
    content = _read_safetensors(path) if path.suffix == SUFFIX else _read_pickle(path)
    for key in TOP_LEVEL:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}, expected a checkpoint's tensors by name")
    tensors = {str(name): value.detach() for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        found = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise UserError(f"{path}: holds no tensors under {', '.join(TOP_LEVEL)} or at its top level, but {found}")
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    return tensors


def write_checkpoint(path: Path, framework: str, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint that the framework's own loader accepts, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    form = FORMS[framework]
    state: OrderedDict[str, Tensor] = OrderedDict(
        (name, value.detach().clone(memory_format=torch.contiguous_format)) for name, value in tensors.items()
    )
    if form.versioned:
        modules = {""} | {name[:end] for name in state for end in range(len(name)) if name[end] == "."}
        state._metadata = OrderedDict((name, {"version": 2}) for name in sorted(modules))  # type: ignore[attr-defined]
    content = {form.key: state, **form.extra} if form.key else state
    with whole_file(path) as temporary:
        torch.save(content, temporary)


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(list(ALLOWED)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:
        named = str(error).partition("GLOBAL ")[2].split()
        if named:
            raise UserError(f"{path}: refused, because its pickle names {named[0]}, which could run code") from None
        reason = (str(error).split("\n\n")[1:] or [str(error)])[0].strip()  # the first paragraph is advice
        raise UserError(
            f"{path}: refused or damaged; expected a checkpoint of torch.save ({' '.join(reason.split())[:120]})"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: not a whole checkpoint of torch.save ({reason})") from None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from None
