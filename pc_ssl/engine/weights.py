"""Weights files: safetensors files with a network's tensors by name, the backbone's under `backbone.`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pc_ssl.errors import UserError
from pc_ssl.files import write_bytes
from pc_ssl.interop.networks import CLASS, Description, build, describe, layer_differences
from pc_ssl.models.fusion import BevEncoder

BACKBONE = "backbone."
HEAD = "head."  # prefix of the head's tensors
NETWORK = "network"  # metadata: the description of the backbone, or of the LiDAR branch
METADATA = "pc_ssl"  # the one entry: safetensors writes several in an order that changes from process to process


@dataclass(frozen=True)
class LoadReport:
    """How the backbone's tensors in a file compare with those of a network.

    Args:
        path: the file.
        part: what they are loaded into: "backbone", or a part of a network such as "lidar".
        matched: names in both, of equal shape.
        missing: names that the file lacks.
        unexpected: names that the network lacks.
        wrong_shape: name -> (shape in the file, shape in the network).
    """

    path: Path
    part: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]

    @property
    def is_complete(self) -> bool:
        """Whether every tensor of the network is in the file and the file holds no other."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    def __str__(self) -> str:
        """One line with the counts."""
        expected = len(self.matched) + len(self.missing) + len(self.wrong_shape)
        others = {
            "missing": len(self.missing), "unexpected": len(self.unexpected), "of another shape": len(self.wrong_shape)
        }  # fmt: skip
        rest = "".join(f", {count} {what}" for what, count in others.items() if count)
        return f"{self.path}: {len(self.matched)} of {expected} {self.part} tensors match{rest}"

    def detail(self) -> str:
        """One line for each tensor that does not match."""
        lines = [f"missing          {name}" for name in self.missing]
        lines += [f"unexpected       {name}" for name in self.unexpected]
        lines += [
            f"of another shape {name}: {list(found)} in the file, {list(expected)} in the network"
            for name, (found, expected) in self.wrong_shape.items()
        ]
        return "\n".join(lines)


def save_weights(path: Path, module: nn.Module, metadata: Mapping[str, str]) -> None:
    """Write every tensor of `module.state_dict()`, atomically.

    Args:
        path: a safetensors file.
        module: what to save; its attribute `backbone` is what `load_backbone` reads.
        metadata: what the weights come from. The layers of the backbone are added.

    Raises:
        UserError: the file cannot be written.
    """
    backbone = dict(module.named_children()).get("backbone")
    lidar = dict(backbone.named_children()).get("lidar") if isinstance(backbone, BevEncoder) else backbone
    description = None if lidar is None else describe(lidar)
    entry = {} if description is None else {NETWORK: json.dumps(description, sort_keys=True)}
    write_tensors(path, module.state_dict(), {**metadata, **entry})


def load_backbone(path: Path, backbone: nn.Module, part: str = "backbone") -> LoadReport:
    """Load the tensors that `path` holds under `backbone.` into `backbone`; all of them or none.

    Args:
        path: a safetensors file.
        backbone: loaded into.
        part: its name in a larger network, such as "lidar"; if the file holds the larger network's backbone, its
            tensors under `backbone.lidar.` are loaded.

    Raises:
        UserError: the file is missing, damaged, or belongs to another backbone: a tensor is missing, unexpected or of
            another shape, or the layers differ in an option that shapes do not show.
    """
    tensors, metadata = read_tensors(path)
    found = _below(tensors, f"{BACKBONE}{part}.") or _below(tensors, BACKBONE)
    if not found:
        some = ", ".join(list(tensors)[:3]) or "nothing"
        raise UserError(
            f"{path}: holds no backbone, whose tensors' names start with {BACKBONE!r}; it holds {some}, ..."
        )
    expected = backbone.state_dict()
    report = _compare(path, part, found, expected)
    if not report.is_complete:
        first = report.detail().splitlines()[0]
        raise UserError(f"{report}; these are the weights of another {part} ({' '.join(first.split())})")
    _check_layers(path, metadata, backbone)
    backbone.load_state_dict(found)
    return report


def load_head(path: Path, head: nn.Module) -> None:
    """Load the tensors that `path` holds under `head.` into `head`.

    Raises:
        UserError: the file is missing, damaged, or holds no head or another one.
    """
    tensors, _ = read_tensors(path)
    found = _below(tensors, HEAD)
    if not found:
        raise UserError(f"{path}: holds no head; fine-tune or probe first")
    report = _compare(path, "head", found, head.state_dict())
    if not report.is_complete:
        first = report.detail().splitlines()[0]
        raise UserError(f"{report}; these are the weights of another head ({' '.join(first.split())})")
    head.load_state_dict(found)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors on the CPU, and the metadata of `write_tensors`, of a safetensors file.

    Raises:
        UserError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, _metadata(file)  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of `write_tensors` in a safetensors file, without its tensors.

    Raises:
        UserError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return _metadata(file)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, atomically; the same content gives the same bytes.

    Raises:
        UserError: the file cannot be written.
    """
    from safetensors.torch import save

    # Copies, because safetensors refuses two names for one memory (tied weights).
    copies = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
    }
    write_bytes(path, save(copies, metadata={METADATA: json.dumps(metadata, sort_keys=True)}))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from error


def _metadata(file: Any) -> dict[str, str]:
    return json.loads((file.metadata() or {}).get(METADATA, "{}"))


def network_of(path: Path, metadata: Mapping[str, str]) -> Description | None:
    """The description of the network whose weights a file holds; None: the file has none, as older ones.

    Raises:
        UserError: it is damaged.
    """
    if NETWORK not in metadata:
        return None
    try:
        description = json.loads(metadata[NETWORK])
    except ValueError as error:
        raise UserError(f"{path}: metadata {NETWORK!r} is not JSON ({error}); the file is damaged") from None
    if not isinstance(description, dict) or CLASS not in description:
        raise UserError(f"{path}: metadata {NETWORK!r} is {description!r}, expected a network's class and options")
    return description


def _check_layers(path: Path, metadata: Mapping[str, str], backbone: nn.Module) -> None:
    """Check that the backbone has the layers that the weights were trained with.

    Raises:
        UserError: an option differs that changes outputs without changing shapes.
    """
    stored, own = network_of(path, metadata), describe(backbone)
    if stored is None or own is None:
        return
    with torch.device("meta"):
        build(stored, str(path))  # refuses a description that is not of our networks
    found = layer_differences(own, stored)
    if found:
        raise UserError(f"{path}: the weights belong to a {stored[CLASS]} of other layers: here {'; '.join(found)}")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _compare(path: Path, part: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> LoadReport:
    shared = [name for name in expected if name in found]
    return LoadReport(
        path=path,
        part=part,
        matched=tuple(name for name in shared if found[name].shape == expected[name].shape),
        missing=tuple(name for name in expected if name not in found),
        unexpected=tuple(sorted(name for name in found if name not in expected)),
        wrong_shape={
            name: (tuple(found[name].shape), tuple(expected[name].shape))
            for name in shared
            if found[name].shape != expected[name].shape
        },
    )
