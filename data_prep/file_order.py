"""Natural order of numbered files: 0, 1, 2, 10, 11, for any number of digits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

RESOURCE_FORK = "._"  # name prefix of the metadata files that macOS writes on foreign file systems


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths in the order of their names, numbers compared by value; without macOS' resource forks (`._*`)."""
    return sorted((path for path in paths if not path.name.startswith(RESOURCE_FORK)), key=_key)


def _key(path: Path) -> tuple[list[tuple[str, int]], str]:
    words = re.findall(r"(\D*)(\d*)", path.name)
    return [(word, int(digits or -1)) for word, digits in words], path.name
