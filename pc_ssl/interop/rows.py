"""Tables of names: which layer of another framework is which of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

_PLACEHOLDER = re.compile(r"\{(\d*)([a-z])(?:\+(\d+))?\}")


class Kind(Enum):
    """The kind of a layer, which decides its layout."""

    KERNEL = "kernel"  # 3D convolution
    BIASED_KERNEL = "biased_kernel"  # 3D convolution whose bias the batch norm of the next row takes over
    INPUT = "input"  # first layer: 3D convolution or linear, with the columns of the input
    POINT = "point"  # 1 x 1 x 1 convolution, a linear layer of ours
    NORM = "norm"
    LINEAR = "linear"
    MAP = "map"  # 2D convolution
    UP = "up"  # transposed 2D convolution
    FLAT_UP = "flat_up"  # 1 x 1 convolution, a transposed one of ours


PARAMETERS = dict.fromkeys(Kind, ("weight",)) | {
    Kind.NORM: ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    Kind.BIASED_KERNEL: ("weight", "bias"),
}


@dataclass(frozen=True)
class Row:
    """One layer, or with placeholders such as `{i}` or `{3j+1}` several, under its name there and here."""

    peer: str
    ours: str
    kind: Kind
    norm: str = ""  # of BIASED_KERNEL: our batch norm that follows

    def ours_of(self, peer: str) -> str | None:
        """Our name of a layer with this name there; None: it is not of this row."""
        numbers = _match(self.peer, peer)
        return None if numbers is None else _fill(self.ours, numbers)

    def peer_of(self, ours: str) -> str | None:
        """The name there of our layer; None: it is not of this row."""
        numbers = _match(self.ours, ours)
        return None if numbers is None else _fill(self.peer, numbers)

    def norm_of(self, peer: str) -> str:
        """Our batch norm that takes over the bias of the layer with this name there."""
        numbers = _match(self.peer, peer)
        assert numbers is not None
        return _fill(self.norm, numbers)


def table(text: str, **parts: str) -> tuple[Row, ...]:
    """Rows of lines `name there, name here, kind`, separated by blanks.

    Args:
        text: the lines.
        parts: tables of what a framework names again and again, such as a residual block: a line whose kind is the name
            of one of them stands for its lines, with both names in front of theirs.

    Raises:
        ValueError: a line is malformed, or a biased kernel is not followed by a batch norm.
    """
    lines: list[list[str]] = []
    for line in _columns(text):
        inner = _columns(parts[line[2]]) if line[2] in parts else [["", "", line[2]]]
        lines += [[line[0] + _none(a), line[1] + _none(b), kind] for a, b, kind in inner]
    rows = []
    for number, columns in enumerate(lines):
        peer, ours, kind = columns[0], columns[1], Kind(columns[2])
        norm = ""
        if kind is Kind.BIASED_KERNEL:
            if number + 1 >= len(lines) or lines[number + 1][2] != Kind.NORM.value:
                raise ValueError(f"table: {peer} must be followed by its batch norm")
            norm = lines[number + 1][1]
        rows.append(Row(peer, ours, kind, norm))
    return tuple(rows)


def _columns(text: str) -> list[list[str]]:
    lines = [line.split() for line in text.strip().splitlines() if line.strip()]
    for line in lines:
        if len(line) != 3:
            raise ValueError(f"table: expected three columns, got {line}")
    return lines


def _none(text: str) -> str:
    """A name, where `-` stands for none."""
    return "" if text == "-" else text


def _match(pattern: str, name: str) -> dict[str, int] | None:
    """Values of the placeholders for which `pattern` is `name`."""
    places = list(_PLACEHOLDER.finditer(pattern))
    found = re.fullmatch(r"(\d+)".join(re.escape(part) for part in _literals(pattern)), name)
    if found is None:
        return None
    numbers: dict[str, int] = {}
    for place, text in zip(places, found.groups(), strict=True):
        factor, letter, offset = int(place[1] or 1), place[2], int(place[3] or 0)
        number, rest = divmod(int(text) - offset, factor)
        if rest or number < 0 or numbers.setdefault(letter, number) != number:
            return None
    return numbers


def _literals(pattern: str) -> list[str]:
    """The text around the placeholders."""
    parts, last = [], 0
    for place in _PLACEHOLDER.finditer(pattern):
        parts.append(pattern[last : place.start()])
        last = place.end()
    return [*parts, pattern[last:]]


def _fill(pattern: str, numbers: Mapping[str, int]) -> str:
    return _PLACEHOLDER.sub(lambda p: str(int(p[1] or 1) * numbers[p[2]] + int(p[3] or 0)), pattern)
