"""JSON files of one list of records, decoded in pieces into typed records with only the required fields.

    for records in read_records(root / "v1.0-trainval" / "ego_pose.json", EgoPose): ...

Pieces end at record boundaries, so that a table of a gigabyte needs the memory of a few pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pc_ssl.errors import UserError

RecordType = TypeVar("RecordType", bound=msgspec.Struct)
PIECE = 16 << 20  # bytes decoded at once
SHOWN = 60  # characters of an invalid value shown in a message
Expected = dict[str, str]


def read_records(
    path: Path, kind: type[RecordType], expected: Expected, piece: int = PIECE
) -> Iterator[list[RecordType]]:
    """Read the records of a file in order, in batches.

    Args:
        path: the file: a list of objects.
        kind: fields to read; others are skipped. Fields without a default are required.
        expected: field -> description of a valid value for messages; "a string" by default.
        piece: bytes decoded at once.

    Raises:
        UserError: the file is missing, unreadable, not JSON or not a list of objects, or a field is missing or invalid;
            the message gives the number of the record.
    """
    count = 0
    try:
        with path.open("rb") as file:
            pieces = _decoded(iter(lambda: file.read(piece), b""), kind)
            while True:
                try:
                    records = next(pieces, None)
                except _WrongPiece as error:
                    raise _wrong_field(path, error, count, kind, expected) from None
                if records is None:
                    return
                count += len(records)
                yield records
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def record_at(path: Path, row: int) -> dict[str, Any]:
    """The record number `row` with all of its fields, of a file that `read_records` accepted."""
    with path.open("rb") as file:
        first = 0
        for records in _decoded(iter(lambda: file.read(PIECE), b""), dict):
            if row < first + len(records):
                return records[row - first]
            first += len(records)
    raise IndexError(f"{path}: no record {row}")


class _WrongPiece(Exception):
    """A piece that cannot be decoded: its text, and the decoder's reason."""

    def __init__(self, text: bytes, reason: str) -> None:
        super().__init__(reason)
        self.text = text


def _decoded(blocks: Iterator[bytes], kind: type) -> Iterator[list[Any]]:
    """Lists of records, one for each block of the file or for several.

    The text before a "}," is complete if it can be decoded: then no bracket or string is open there.
    """
    decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    text, is_first, searched = b"", True, 0
    for block in blocks:
        text += block
        if is_first:
            text = text.lstrip()
            if not text:
                continue
            if text[:1] != b"[":
                break
            text, is_first = text[1:], False
        end = text.rfind(b"},", searched)
        if end < 0:
            continue
        try:
            records = decoder.decode(b"[%b]" % text[: end + 1])
        except msgspec.ValidationError as error:
            raise _WrongPiece(b"[%b]" % text[: end + 1], str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            searched = end + 1  # "}," within a string or a nested record, or damage: decided with the next piece
            continue
        yield records
        text, searched = text[end + 2 :], 0
    rest = text if is_first else b"[" + text
    rest += b"".join(blocks)
    try:
        yield decoder.decode(rest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _WrongPiece(rest, str(error)) from None


def _wrong_field(path: Path, error: _WrongPiece, first: int, kind: type, expected: Expected) -> UserError:
    """The error for a piece whose first record has the number `first`."""
    try:
        records = msgspec.json.decode(error.text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
        after = f", from record {first} on" if first else ""
        return UserError(f"{path}: not readable as JSON{after} ({reason})")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return UserError(f"{path}: expected a list of records")
    for row, record in enumerate(records, first):
        for field in msgspec.structs.fields(kind):
            wanted = expected.get(field.name, "a string")
            if field.encode_name not in record:
                if field.required:
                    return UserError(f"{path}: field {field.name!r} of record {row} is missing, expected {wanted}")
                continue
            try:
                msgspec.convert(record[field.name], field.type)
            except msgspec.ValidationError:
                found = repr(record[field.name])
                found = found if len(found) <= SHOWN else f"{found[:SHOWN]}..."
                return UserError(f"{path}: field {field.name!r} of record {row} is {found}, expected {wanted}")
    return UserError(f"{path}: not readable as a list of records ({error})")
