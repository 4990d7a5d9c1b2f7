"""Config files: Python files that choose classes and fill in their arguments.

    # configs/pretrain/mine.py
    from mmengine.config import read_base

    from pc_ssl.engine.options import TrainOptions
    from pc_ssl.methods.prc import PointRegionContrast

    with read_base():
        from .._base_.grids import nuscenes_54m as _grid         # private: an ingredient, not part of the run

    method = dict(type=PointRegionContrast, temperature=0.1, ...)    # or `task = ...` for a downstream task
    train = dict(type=TrainOptions, steps=1000, batch_size=8, learning_rate=1e-3)
    region = "dbscan"

A dictionary with `type` stands for an object: the class and its arguments, nested as deep as needed. The constructors'
signatures are the schema: an argument that a class does not have, lacks, or has of another type is an error that names
the file, the key and what was expected. No class receives a dictionary of settings.

A config file is executed when it is read. Open only files that you trust.
"""

from __future__ import annotations

import ast
import copy
import difflib
import hashlib
import importlib
import inspect
import json
import math
import pprint
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.errors import UsageError, UserError
from pc_ssl.recipes import find_config

KINDS = ("method", "task")  # what is trained: a pretraining method or a downstream task
TOP_LEVEL = (*KINDS, "train", "region")


@dataclass(frozen=True)
class RunConfig:
    """A config file after inheritance and overrides.

    Args:
        path: the file, for error messages.
        values: the public top-level names; plain numbers, strings, lists, tuples and dictionaries, where `type` holds
            the dotted name of a class.
    """

    path: Path
    values: dict[str, Any]

    @property
    def kind(self) -> str:
        """ "method" or "task"."""
        return next(name for name in KINDS if name in self.values)

    @property
    def region(self) -> str | None:
        """Name of the region generator whose regions are trained on."""
        return self.values.get("region")

    @property
    def hash(self) -> str:
        """sha256 of the values."""
        return hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()

    def build(self, name: str) -> Any:
        """Instantiate the top-level entry `name` with everything in it, innermost first.

        Raises:
            UserError: a class cannot be imported, or does not accept its arguments.
        """
        return _build(self.path, name, self.values[name])

    def flat(self) -> dict[str, Any]:
        """`{"method.temperature": 0.1, ...}`: one entry for each value that is not a dictionary."""
        return dict(_flatten(self.values, ""))

    def to_python(self) -> str:
        """The text of a config file that says the same without inheritance."""
        entries = (
            f"{name} = {pprint.pformat(value, width=100, sort_dicts=False)}\n" for name, value in self.values.items()
        )
        return "\n".join(entries)


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config file; it is executed.

    Args:
        path: a Python file, or the name of one of the package's configs (`recipes.py`).
        overrides: `key.sub=value` in order; the value is a Python literal, or else a string.

    Raises:
        UserError: no config has this name, or the file cannot be read or executed, or it holds an unknown name or a
            value that is not plain.
        UsageError: an override has another form or names no part of the config.
    """
    path = find_config(path)
    values = {name: value for name, value in _execute(path).items() if not name.startswith("_")}
    for override in overrides:
        _override(path, values, override)
    unknown = [name for name in values if name not in TOP_LEVEL]
    if unknown:
        raise UserError(
            f"{path}: unknown name {unknown[0]!r}{_nearest(unknown[0], TOP_LEVEL)}; known: {', '.join(TOP_LEVEL)}; "
            "ingredients that are no part of the run start with an underscore"
        )
    kinds = [name for name in KINDS if name in values]
    if len(kinds) != 1 or "train" not in values:
        raise UserError(f"{path}: needs `train` and either `method` or `task`; it has {', '.join(values) or 'nothing'}")
    for name, value in values.items():
        _check_plain(path, name, value)
        if name != "region" and not (isinstance(value, dict) and "type" in value):
            raise UserError(f"{path}: {name} is {value!r}, expected a dictionary with `type`")
    if not isinstance(values.get("region", ""), str):
        raise UserError(f"{path}: region is {values['region']!r}, expected the name of a region generator")
    return RunConfig(path, values)


def _execute(path: Path) -> dict[str, Any]:
    from mmengine.config import Config

    if path.suffix != ".py":
        raise UserError(f"{path}: config files are Python files that end in .py")
    try:
        return copy.deepcopy(Config.fromfile(str(path), lazy_import=True, format_python_code=False).to_dict())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: {error.msg}") from error
    except Exception as error:  # the file is the user's program: whatever it raises is theirs to read
        message = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be executed ({type(error).__name__}: {message})") from error


def _override(path: Path, values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise UsageError(f"override {override!r}: expected key=value, such as train.steps=100")
    *parents, last = key.split(".")
    inner: Any = values
    for depth, name in enumerate(parents):
        if not isinstance(inner.get(name), dict):
            where = ".".join(parents[:depth]) or path.name
            raise UsageError(f"override {override!r}: {where} has no section {name!r}{_nearest(name, inner)}")
        inner = inner[name]
    if not parents and last not in values and last not in TOP_LEVEL:
        raise UsageError(f"override {override!r}: unknown name {last!r}{_nearest(last, TOP_LEVEL)}")
    try:
        inner[last] = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        inner[last] = text


def _check_plain(path: Path, key: str, value: Any) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise UserError(f"{path}: {key} has the key {name!r}, expected a string")
            _check_plain(path, f"{key}.{name}", item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_plain(path, f"{key}.{index}", item)
    elif not (
        value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))
    ):
        raise UserError(f"{path}: {key} is {value!r}, expected a finite number, a string, a list or a dictionary")


def _build(path: Path, key: str, value: Any) -> Any:
    if isinstance(value, dict) and "type" in value:
        return _instantiate(path, key, value)
    if isinstance(value, dict):
        return {name: _build(path, f"{key}.{name}", item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_build(path, f"{key}.{index}", item) for index, item in enumerate(value))
    return value


def _instantiate(path: Path, key: str, value: dict[str, Any]) -> Any:
    constructor = _imported(path, f"{key}.type", value["type"])
    arguments = {name: item for name, item in value.items() if name != "type"}
    _check_names(path, key, constructor, arguments)
    built = {name: _build(path, f"{key}.{name}", item) for name, item in arguments.items()}
    for name, annotation in _annotations(constructor).items():
        if name in built and not _fits(built[name], annotation):
            raise UserError(f"{path}: {key}.{name} is {built[name]!r}, expected {_readable(annotation)}")
    try:
        return constructor(**built)
    except ValueError as error:
        raise UserError(f"{path}: {key}: {error}") from error


def _imported(path: Path, key: str, name: Any) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if not module:
        raise UserError(f"{path}: {key} is {name!r}, expected a class, or its name with its module")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{path}: {key}: {name} cannot be imported ({error})") from error
    if not callable(found):
        raise UserError(f"{path}: {key}: {name} is no class")
    return found


def _check_names(path: Path, key: str, constructor: Callable[..., Any], arguments: Iterable[str]) -> None:
    parameters = inspect.signature(constructor).parameters.values()
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p.name for p in parameters if p.name in known and p.default is p.empty]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    name = getattr(constructor, "__name__", str(constructor))
    for argument in arguments:
        if argument not in known and not takes_any:
            raise UserError(
                f"{path}: {key}: {name} has no argument {argument!r}{_nearest(argument, known)}; "
                f"it has: {', '.join(known) or 'none'}"
            )
    missing = [argument for argument in needed if argument not in set(arguments)]
    if missing:
        raise UserError(f"{path}: {key}: {name} needs the argument {missing[0]!r}")


def _annotations(constructor: Callable[..., Any]) -> dict[str, Any]:
    target = constructor.__init__ if inspect.isclass(constructor) else constructor
    try:
        return typing.get_type_hints(target)
    except NameError:  # a name that is imported for type checkers only: nothing to compare with at run time
        return {}


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value has the annotated type, as far as this can be told without knowing the class."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return value in inner
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if annotation in (int, float):
        return isinstance(value, (int, annotation)) and not isinstance(value, bool)
    if origin or not inspect.isclass(annotation) or annotation is Any or getattr(annotation, "_is_protocol", False):
        return True
    return isinstance(value, annotation)


def _readable(annotation: Any) -> str:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(
            "None" if option is types.NoneType else _readable(option) for option in typing.get_args(annotation)
        )
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(repr(option) for option in typing.get_args(annotation))
    return annotation.__name__ if inspect.isclass(annotation) and not typing.get_args(annotation) else str(annotation)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _flatten(value: Any, key: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flatten(item, f"{key}.{name}" if key else name)
    else:
        yield key, value
