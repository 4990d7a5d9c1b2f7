"""Initial weights of a run: for a whole backbone, or for submodules by name, or their permutation as a control."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from pc_ssl.engine.exchange import load_checkpoint
from pc_ssl.engine.permuted import permute_weights
from pc_ssl.engine.weights import LoadReport, load_backbone, read_metadata
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import sha256_of
from pc_ssl.interop import FRAMEWORKS
from pc_ssl.models.fusion import BevEncoder

WHOLE = ""  # denotes the whole backbone
PERMUTED = "permuted:"  # before a file: its weights are permuted within each tensor


@dataclass(frozen=True)
class LoadedWeights:
    """A file of initial weights, as loaded.

    Args:
        report: of the comparison of the file with the network.
        permuted_by: seed by which the loaded weights were permuted (`engine/permuted.py`); None: they are as in the
            file.
        source: the file's metadata: the method or command that made it, its config and labels.
    """

    report: LoadReport
    permuted_by: int | None
    source: Mapping[str, str]

    def __str__(self) -> str:
        """One line."""
        permuted = "" if self.permuted_by is None else f", permuted within each tensor by seed {self.permuted_by}"
        made_by = self.source.get("method") or self.source.get("command")
        return f"{self.report}{permuted}{f', made by {made_by}' if made_by else ''}"

    def as_dict(self) -> dict[str, Any]:
        """An entry of `RunResult.initial`."""
        return {
            "part": self.report.part,
            "file": str(self.report.path),
            "sha256": sha256_of(self.report.path),
            "permuted": self.permuted_by is not None,
            "tensors": len(self.report.matched),
            "from": dict(self.source),
        }


@dataclass(frozen=True)
class InitialWeights:
    """Files with initial weights; none: from scratch.

    Args:
        files: path of a submodule, such as "lidar", or WHOLE -> a file whose `backbone.` tensors fill it.
        permuted: those of the submodules whose weights are permuted within each tensor after loading: a negative
            control.
        frameworks: those of the submodules whose file is a checkpoint of another framework -> its name.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    permuted: frozenset[str] = frozenset()
    frameworks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> InitialWeights:
        """`FILE` for the backbone, `NAME=FILE` for a submodule; `permuted:FILE` for the control, `openpcdet:FILE` and
        the like for a checkpoint of another framework.

        Raises:
            UsageError: a part is named twice.
        """
        files: dict[str, Path] = {}
        permuted: set[str] = set()
        frameworks: dict[str, str] = {}
        for text in texts:
            match = re.fullmatch(r"([A-Za-z_][\w.]*)=(.+)", text)
            name, file = (match[1], match[2]) if match and not Path(text).exists() else (WHOLE, text)
            if name in files:
                raise UsageError(f"--init: {name or 'the backbone'} is given twice, {files[name]} and {file}")
            if file.startswith(PERMUTED) and not Path(file).exists():
                permuted.add(name)
                file = file.removeprefix(PERMUTED)
            framework, colon, rest = file.partition(":")
            if colon and framework in FRAMEWORKS and not Path(file).exists():
                frameworks[name], file = framework, rest
            files[name] = Path(file)
        return cls(files, frozenset(permuted), frameworks)

    def load(self, network: nn.Module, backbone: nn.Module, seed: int = 0) -> tuple[LoadedWeights, ...]:
        """Load the files into their submodules.

        Args:
            network: the module whose submodules are named.
            backbone: loaded for WHOLE; for a BevEncoder with one branch the file may hold that branch alone.
            seed: of the permutations.

        Raises:
            UserError: a submodule does not exist, or a file is damaged or holds other weights.
        """
        loaded = []
        for name, file in self.files.items():
            part = backbone if name == WHOLE else _part(network, name)
            if name in self.frameworks:
                report, origin = load_checkpoint(file, self.frameworks[name], part, name or "backbone")
            else:
                report = _load_whole(part, file) if name == WHOLE else load_backbone(file, part, name)
                origin = read_metadata(file)
            if name in self.permuted:
                permute_weights(part, seed)
            loaded.append(LoadedWeights(report, seed if name in self.permuted else None, origin))
        return tuple(loaded)

    def checksums(self) -> str | dict[str, str] | None:
        """Entry of a run's settings: None from scratch, one checksum for a whole backbone, else one for each part.

        Raises:
            UserError: a file cannot be read.
        """
        sums = {name: f"{self._prefix(name)}{sha256_of(file)}" for name, file in self.files.items()}
        return sums[WHOLE] if list(sums) == [WHOLE] else sums or None

    def __str__(self) -> str:
        """As on the command line, "" from scratch."""
        texts = {name: f"{self._prefix(name)}{file}" for name, file in self.files.items()}
        return " ".join(f"{name}={text}" if name else text for name, text in texts.items())

    def _prefix(self, name: str) -> str:
        framework = f"{self.frameworks[name]}:" if name in self.frameworks else ""
        return (PERMUTED if name in self.permuted else "") + framework


def _load_whole(backbone: nn.Module, file: Path) -> LoadReport:
    branches = {name: branch for name, branch in backbone.named_children() if name in ("lidar", "camera")}
    if not isinstance(backbone, BevEncoder) or len(branches) != 1:
        return load_backbone(file, backbone)
    try:
        return load_backbone(file, backbone)
    except UserError:
        ((name, branch),) = branches.items()
        return load_backbone(file, branch, name)


def _part(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = ", ".join(child for child, _ in network.named_children())
        raise UserError(f"--init: {type(network).__name__} has no submodule {name!r}; it has {known}") from None
