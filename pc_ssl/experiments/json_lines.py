"""Files of JSON lines: one object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pc_ssl.errors import UserError
from pc_ssl.files import write_bytes


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the file, atomically.

    Raises:
        UserError: it cannot be written.
        ValueError: a number is not finite.
    """
    write_bytes(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of a file.

    Raises:
        UserError: it cannot be read, or a line is not a JSON object.
    """
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}: line {number} is not JSON ({error})") from error
        if not isinstance(content, dict):
            raise UserError(f"{path}: line {number} is a {type(content).__name__}, expected a JSON object")
        yield number, content
