"""Initial weights of a run: for a whole backbone, or for submodules by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from pc_ssl.engine.weights import LoadReport, load_backbone
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import sha256_of
from pc_ssl.models.fusion import BevEncoder

WHOLE = ""  # denotes the whole backbone


@dataclass(frozen=True)
class InitialWeights:
    """Files with initial weights; none: from scratch.

    Args:
        files: path of a submodule, such as "lidar", or WHOLE -> a file whose `backbone.` tensors fill it.
    """

    files: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> InitialWeights:
        """`FILE` for the backbone, `NAME=FILE` for a submodule.

        Raises:
            UsageError: a part is named twice.
        """
        files: dict[str, Path] = {}
        for text in texts:
            match = re.fullmatch(r"([A-Za-z_][\w.]*)=(.+)", text)
            name, file = (match[1], match[2]) if match and not Path(text).exists() else (WHOLE, text)
            if name in files:
                raise UsageError(f"--init: {name or 'the backbone'} is given twice, {files[name]} and {file}")
            files[name] = Path(file)
        return cls(files)

    def load(self, network: nn.Module, backbone: nn.Module) -> tuple[LoadReport, ...]:
        """Load the files into their submodules.

        Args:
            network: the module whose submodules are named.
            backbone: loaded for WHOLE; for a BevEncoder with one branch the file may hold that branch alone.

        Raises:
            UserError: a submodule does not exist, or a file is damaged or holds other weights.
        """
        return tuple(
            _load_whole(backbone, file) if name == WHOLE else load_backbone(file, _part(network, name), name)
            for name, file in self.files.items()
        )

    def checksums(self) -> str | dict[str, str] | None:
        """Entry of a run's settings: None from scratch, one checksum for a whole backbone, else one for each part.

        Raises:
            UserError: a file cannot be read.
        """
        sums = {name: sha256_of(file) for name, file in self.files.items()}
        return sums[WHOLE] if list(sums) == [WHOLE] else sums or None

    def __str__(self) -> str:
        """As on the command line, "" from scratch."""
        return " ".join(f"{name}={file}" if name else str(file) for name, file in self.files.items())


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
