"""Columns of a nuScenes table: numbers, strings, and hashes of tokens for references between tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.json_records import read_records, record_at
from data_prep.nuscenes_records import EXPECTED, TABLES
from data_prep.strings import Strings
from pc_ssl.errors import UserError

NONE = -1  # a missing row or number
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Column = NDArray[Any] | Strings
Reading = Callable[[Sequence[Any], str], Column]


def hashes(records: Sequence[Any], field: str) -> Ints:
    """[N] hash of a token. It differs between processes and is never written."""
    return np.fromiter(map(hash, map(attrgetter(field), records)), np.int64, len(records))


def first_hashes(records: Sequence[Any], field: str) -> Ints:
    """[N] hash of the first of a list of tokens, that of "" for an empty list."""
    lists = map(attrgetter(field), records)
    return np.fromiter((hash(tokens[0] if tokens else "") for tokens in lists), np.int64, len(records))


def integers(records: Sequence[Any], field: str) -> Ints:
    """[N] integers and booleans; fractions are rounded, NONE for null."""
    found = list(map(attrgetter(field), records))
    return np.rint(np.array([NONE if value is None else value for value in found], np.float64)).astype(np.int64)


def strings(records: Sequence[Any], field: str) -> Strings:
    """[N] strings."""
    return Strings.of(list(map(attrgetter(field), records)))


def floats(width: int) -> Reading:
    """Reads a field that holds `width` numbers: [N, width] float64."""

    def read(records: Sequence[Any], field: str) -> Floats:
        numbers = chain.from_iterable(map(attrgetter(field), records))
        return np.fromiter(numbers, np.float64, width * len(records)).reshape(-1, width)

    return read


def matrices(records: Sequence[Any], field: str) -> Floats:
    """[N, 9] float64 of three rows of three numbers; NaN for other values."""
    rows = map(attrgetter(field), records)
    return np.array([[*chain(*m)] if len(m) == 3 else [np.nan] * 9 for m in rows], np.float64).reshape(-1, 9)


class Keys:
    """The tokens of a table, for finding its rows.

    Args:
        path: of the table.
        token: [N] hashes.

    Raises:
        UserError: two records have the same token.
    """

    def __init__(self, path: Path, token: Ints) -> None:
        self.path = path
        self._order = np.argsort(token, kind="stable")
        self._sorted = token[self._order]
        twice = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if len(twice):
            first, second = (int(self._order[place]) for place in (twice[0], twice[0] + 1))
            raise UserError(f"{path}: records {first} and {second} have the same token")

    def rows(self, token: Ints) -> Ints:
        """[M] row of each token; NONE if it is not in the table."""
        if not len(self._sorted):
            return np.full(len(token), NONE)
        place = np.minimum(np.searchsorted(self._sorted, token), len(self._sorted) - 1)
        return np.where(self._sorted[place] == token, self._order[place], NONE)


class Table:
    """Columns of a table.

    Args:
        folder: of the tables.
        name: of the table.
        readings: field -> function that converts it to a column.

    Raises:
        UserError: the table is damaged, or lacks a field.
    """

    def __init__(self, folder: Path, name: str, readings: Mapping[str, Reading]) -> None:
        self.path = folder / f"{name}.json"
        has_token = "token" in TABLES[name].__struct_fields__
        wanted = [*(("", "token", hashes) for _ in range(has_token)), *((f, f, r) for f, r in readings.items())]
        parts: dict[str, list[Column]] = {column: [] for column, _, _ in wanted}
        for records in read_records(self.path, TABLES[name], EXPECTED):
            for column, field, read in wanted:
                parts[column].append(read(records, field))
        self._columns = {column: _joined(parts.pop(column)) for column, _, _ in wanted}
        if has_token:
            self.keys = Keys(self.path, self.numbers(""))

    def numbers(self, field: str) -> NDArray[Any]:
        """A column of numbers or hashes."""
        column = self._columns[field]
        assert not isinstance(column, Strings)
        return column

    def strings(self, field: str) -> Strings:
        """A column of strings."""
        column = self._columns[field]
        assert isinstance(column, Strings)
        return column

    def rows_in(self, keys: Keys, field: str, *, may_be_empty: bool = False) -> Ints:
        """[N] row of each record's token in another table; NONE for "".

        Raises:
            UserError: a token is not in that table, or is "" without `may_be_empty`.
        """
        token = self.numbers(field)
        rows = keys.rows(token)
        self.refuse((rows == NONE) & ~(may_be_empty & (token == hash(""))), field, f"is not in {keys.path.name}")
        return rows

    def poses(self) -> Floats:
        """[N, 7] translation and rotation.

        Raises:
            UserError: one is not a pose.
        """
        poses = np.hstack([self.numbers("translation"), self.numbers("rotation")])
        self.refuse(~np.isfinite(poses[:, :3]).all(axis=1), "translation", "is not finite")
        self.refuse(~np.isfinite(poses[:, 3:]).all(axis=1), "rotation", "is not finite")
        self.refuse(~poses[:, 3:].any(axis=1), "rotation", "is zero")
        return poses

    def refuse(self, wrong: NDArray[np.bool_], field: str, reason: str) -> None:
        """Raise UserError for the first invalid record, if any."""
        if wrong.any():
            record = record_at(self.path, int(wrong.argmax()))
            found = record[field][0] if field == "attribute_tokens" else record[field]
            raise UserError(f"{self.path}: {field} {found!r} of record {record.get('token')!r} {reason}")


def _joined(parts: list[Column]) -> Column:
    if isinstance(parts[0], Strings):
        return Strings.concatenate(part for part in parts if isinstance(part, Strings))
    return np.concatenate([part for part in parts if not isinstance(part, Strings)])
