"""Frozen teacher networks."""

from __future__ import annotations

from typing import Self

from torch import nn


class FrozenParts(nn.Module):
    """A module with frozen parts, which get no gradient and stay in eval mode whatever the mode of the whole."""

    def __init__(self) -> None:
        super().__init__()
        self._frozen: tuple[str, ...] = ()

    def freeze(self, name: str) -> None:
        """Freeze the submodule `name` from now on."""
        self._frozen += (name,)
        self.get_submodule(name).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all parts except the frozen ones."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self
