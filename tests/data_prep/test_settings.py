from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from data_prep.settings import apply_settings
from pc_ssl.errors import UsageError


@dataclass(frozen=True)
class Inner:
    eps: float = 1.0
    count: int = 3
    keep: bool = True
    name: str = "a"
    limit: float | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    named: Mapping[str, Inner] = field(default_factory=lambda: {"dbscan": Inner(), "slic": Inner()})
    nothing: Inner | None = None


def test_values_are_read_as_the_type_of_their_field() -> None:
    settings = ["inner.eps=0.5", "inner.count=7", "inner.keep=false", "inner.name=b=c", "inner.limit=2"]
    assert apply_settings(Outer(), settings).inner == Inner(0.5, 7, False, "b=c", 2.0)
    assert apply_settings(Inner(limit=2.0), ["limit=none"]).limit is None


def test_only_the_named_member_of_a_mapping_is_set() -> None:
    before = Outer()
    after = apply_settings(before, ["named.dbscan.eps=0.5"])
    assert after.named == {"dbscan": Inner(eps=0.5), "slic": Inner()}
    assert before == Outer()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("inner.esp=1", "unknown 'esp'; did you mean 'eps'? known: eps, count, keep, name, limit"),
        ("named.dbscn.eps=1", "unknown 'dbscn'; did you mean 'dbscan'? known: dbscan, slic"),
        ("iner.eps=1", "unknown 'iner'; did you mean 'inner'?"),
        ("inner.eps=far", "'inner.eps' is 'far', expected float"),
        ("inner.eps=nan", "'inner.eps' is 'nan', expected float"),
        ("inner.count=1.5", "'inner.count' is '1.5', expected int"),
        ("inner.keep=maybe", "'inner.keep' is 'maybe', expected bool"),
        ("inner.limit=far", "'inner.limit' is 'far', expected float or None"),
        ("inner=1", "'inner' is '1', expected Inner"),
        ("named.dbscan=1", "'named.dbscan' is a stage; name one of its fields"),
        ("nothing.eps=1", "None has no fields to set"),
        ("inner.eps.more=1", "1.0 has no fields to set"),
        ("inner.eps", "'inner.eps' is not NAME=VALUE"),
    ],
)
def test_invalid_settings_are_reported(setting: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_settings(Outer(), [setting])
    assert message in str(caught.value)
