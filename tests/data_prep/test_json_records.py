import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.json_records import read_records, record_at
from pc_ssl.errors import UserError


class Pair(msgspec.Struct):
    token: str
    number: float


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "token": st.text(max_size=6),
            "number": st.floats(-1e9, 1e9),
            "more": st.sampled_from(["},{", {"a": {}}, [[1]]]),
        }
    ),
    max_size=8,
)


def read(path: Path, piece: int) -> list[tuple[str, float]]:
    return [(r.token, r.number) for records in read_records(path, Pair, {}, piece) for r in records]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, st.sampled_from([None, 1]), st.integers(1, 90), st.booleans())
def test_pieces_of_any_size_give_all_records_of_the_file(
    tmp_path: Path, records: list[dict], indent: int | None, piece: int, ascii: bool
) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(records, indent=indent, ensure_ascii=ascii))
    assert read(path, piece) == [(record["token"], record["number"]) for record in records]
    for row, record in enumerate(records):
        assert record_at(path, row) == record


@pytest.mark.parametrize("piece", [8, 1000])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"token": "a", "number": 1}, {"token": "b"}]', "field 'number' of record 1 is missing, expected metres"),
        ('[{"token": "a", "number": 1}, {"token": 5, "number": 2}]', "'token' of record 1 is 5, expected a string"),
        ('[{"token": "a", "number": 1}, {"token": "b", "number": "2"}, {}]', "'number' of record 1 is '2'"),
        ('[{"token": "a", "number": 1}, 7]', "expected a list of records"),
        ('{"token": "a"}', "expected a list of records"),
        ('[{"token": "a", "number": 1}, {"token"', "not readable as JSON"),
        ('[{"token": "a", "number": NaN}]', "not readable as JSON"),
        ("", "not readable as JSON"),
        ("  ", "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
    ],
)
def test_errors_name_record_and_field(tmp_path: Path, text: str, message: str, piece: int) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        list(read_records(path, Pair, {"number": "metres"}, piece))
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_text_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(b'[{"token": "\xff", "number": 1}]')
    with pytest.raises(UserError, match="not readable as JSON"):
        list(read_records(path, Pair, {}))
    with pytest.raises(UserError, match="no such file"):
        list(read_records(tmp_path / "nothing.json", Pair, {}))
