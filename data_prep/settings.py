"""Settings of stages by name: `regions.dbscan.eps=0.5` overrides a field of a dataclass."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, TypeVar

from pc_ssl.errors import UsageError

T = TypeVar("T")
BOOLEANS = {"true": True, "false": False}


def apply_settings(value: T, settings: Sequence[str]) -> T:
    """The dataclass `value` with some of its fields, or fields of nested dataclasses, replaced.

    Args:
        value: a frozen dataclass, whose fields may be dataclasses and mappings of dataclasses.
        settings: NAME=VALUE with a dotted name; the value is parsed as the declared type of the field (bool, int,
            float, str, or one of these or None).

    Raises:
        UsageError: the field does not exist (the closest name is suggested), or the value has another type.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"set: {setting!r} is not NAME=VALUE, such as regions.dbscan.eps=0.5")
        value = _set(value, name.split("."), text, name)
    return value


def _set(value: Any, path: Sequence[str], text: str, name: str) -> Any:
    """`value` with the field at `path` parsed from `text`; name: the full dotted name, for errors."""
    key, *rest = path
    if isinstance(value, Mapping):
        known = list(value)
    elif is_dataclass(value):
        known = [field.name for field in fields(value)]
    else:
        raise UsageError(f"set: {name!r}: {value!r} has no fields to set")
    if key not in known:
        nearest = get_close_matches(key, known, n=1, cutoff=0.5)
        advice = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UsageError(f"set: {name!r}: unknown {key!r}; {advice}known: {', '.join(known) or 'none'}")
    if isinstance(value, Mapping):
        if not rest:
            raise UsageError(f"set: {name!r} is a stage; name one of its fields")
        return {**value, key: _set(value[key], rest, text, name)}
    inner = getattr(value, key)
    if not rest:
        try:
            return replace(value, **{key: _parsed(_type_of(value, key), text, name)})
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"set: {name!r} is {text!r}: {error}") from None
    return replace(value, **{key: _set(inner, rest, text, name)})


def _type_of(value: Any, key: str) -> Any:
    return typing.get_type_hints(type(value))[key]


def _parsed(kind: Any, text: str, name: str) -> Any:
    """`text` parsed as the declared type."""
    choices = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    if type(None) in choices and text.lower() == "none":
        return None
    for choice in choices:
        parse = _PARSERS.get(choice)
        if parse is not None:
            try:
                return parse(text)
            except (KeyError, ValueError):
                continue
    wanted = " or ".join("None" if choice is type(None) else choice.__name__ for choice in choices)
    raise UsageError(f"set: {name!r} is {text!r}, expected {wanted}")


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)


_PARSERS: dict[Any, Callable[[str], Any]] = {
    bool: lambda text: BOOLEANS[text.lower()],
    int: int,
    float: _finite,
    str: str,
}
