"""Many strings as two arrays, compact in memory and storable as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Strings:
    """[N] strings.

    Args:
        letters: uint8, UTF-8 of all strings one after the other.
        end: [N] int64: where each string ends in `letters`.
    """

    letters: NDArray[np.uint8]
    end: NDArray[np.int64]

    @staticmethod
    def of(values: Sequence[str]) -> Strings:
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        end = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        return Strings(np.frombuffer(b"".join(encoded), np.uint8), end)

    @staticmethod
    def concatenate(parts: Iterable[Strings]) -> Strings:
        parts = list(parts)
        shifts = np.cumsum([0, *(len(part.letters) for part in parts)])
        ends = [part.end + shift for part, shift in zip(parts, shifts, strict=False)]
        return Strings(
            np.concatenate([np.empty(0, np.uint8), *(part.letters for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *ends]),
        )

    def select(self, rows: NDArray[np.int64]) -> Strings:
        """[M] the strings of these rows."""
        return Strings.of([self[row] for row in rows.tolist()])

    def __len__(self) -> int:
        return len(self.end)

    def __getitem__(self, row: int) -> str:
        if not 0 <= row < len(self.end):
            raise IndexError(f"row {row} of {len(self.end)}")
        begin = int(self.end[row - 1]) if row else 0
        return self.letters[begin : int(self.end[row])].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))
