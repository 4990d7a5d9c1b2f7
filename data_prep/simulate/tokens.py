"""Tokens: 32 hexadecimal digits, a function of the seed and of the record that they name."""

from __future__ import annotations

import hashlib
from collections import Counter


class Tokens:
    """The tokens of one scene.

    Args:
        space: namespace of the scene, such as the seed and the scene's name.
    """

    def __init__(self, space: str) -> None:
        self._space = space
        self._count: Counter[str] = Counter()

    def of(self, kind: str, name: str | int) -> str:
        """The token of the record `name` of a kind; always the same."""
        return hashlib.md5(f"{self._space}/{kind}/{name}".encode(), usedforsecurity=False).hexdigest()

    def next(self, kind: str) -> str:
        """The token of the next record of a kind."""
        self._count[kind] += 1
        return self.of(kind, self._count[kind] - 1)
