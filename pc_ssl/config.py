"""Config files: Python files that choose classes and fill in their arguments.

    # configs/pretrain/mine.py
    from mmengine.config import read_base

    from pc_ssl.engine.options import TrainOptions
    from pc_ssl.methods.prc import PRC

    with read_base():
        from .._base_.grids import nuscenes_54m as _grid         # private: an ingredient, not part of the run

    method = dict(type=PRC, temperature=0.1, ...)    # or `task = ...` for a downstream task
    train = dict(type=TrainOptions, steps=1000, batch_size=8, learning_rate=1e-3)
    region = "dbscan"             # of a method: whose regions it reads
    label_rule = "calico"         # of a task: which scenes `--labels 0.05` takes (`data/fractions.py`)
    transforms = [dict(type=ObjectPaste)]                            # changes of the training scenes, in order
    evaluation_transforms = []    # of a task: changes of the scenes that are evaluated on, such as a corruption

A dictionary with `type` describes an object: the class and its arguments, nested to any depth. The constructors'
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.data.fractions import FractionRule
from pc_ssl.derived import Derived, Facts, GivesChannels
from pc_ssl.errors import UsageError, UserError
from pc_ssl.recipes import find_config

KINDS = ("method", "task")  # what is trained: a pretraining method or a downstream task
TRANSFORMS = ("transforms", "evaluation_transforms")
TOP_LEVEL = (*KINDS, "train", "region", "label_rule", *TRANSFORMS)
_Known = Mapping[str, tuple[Any, str]]  # fact -> its value and its source


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
        """Name of the region generator whose regions are used for training."""
        return self.values.get("region")

    @property
    def label_rule(self) -> FractionRule:
        """The scenes that a labelled fraction selects; SLidR's rule by default."""
        return FractionRule(self.values.get("label_rule", FractionRule.SLIDR.value))

    @property
    def transforms(self) -> tuple[Any, ...]:
        """The changes of the training scenes (`pc_ssl.protocols.SceneTransform`), instantiated.

        Raises:
            UserError: a class cannot be imported, or does not accept its arguments.
        """
        return self._transforms("transforms")

    @property
    def evaluation_transforms(self) -> tuple[Any, ...]:
        """The changes of the evaluated scenes, instantiated; errors as for `transforms`."""
        return self._transforms("evaluation_transforms")

    def _transforms(self, name: str) -> tuple[Any, ...]:
        return tuple(_build(self.path, name, self.values.get(name, []), {}))

    @property
    def hash(self) -> str:
        """sha256 of the values."""
        return hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()

    def build(self, name: str, facts: Facts | None = None) -> Any:
        """Instantiate the top-level entry `name` with everything in it, innermost first.

        Args:
            name: such as "method", or a part: "method.backbone".
            facts: of the data; arguments that follow from them are filled in (`derived.py`).

        Raises:
            UserError: a class cannot be imported, or does not accept its arguments, or a value contradicts a fact.
        """
        known = {} if facts is None else {fact: (value, facts.source) for fact, value in facts.values.items()}
        value: Any = self.values
        for part in name.split("."):
            value = value[part]
        return _build(self.path, name, value, known)

    def flat(self) -> dict[str, Any]:
        """`{"method.temperature": 0.1, ...}`: one entry for each value that is not a dictionary."""
        return dict(_flatten(self.values, ""))

    def to_python(self) -> str:
        """The text of an equivalent config file without inheritance."""
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
            "ingredients that are not part of the run start with an underscore"
        )
    kinds = [name for name in KINDS if name in values]
    if len(kinds) != 1 or "train" not in values:
        raise UserError(f"{path}: needs `train` and either `method` or `task`; it has {', '.join(values) or 'nothing'}")
    for name, value in values.items():
        _check_plain(path, name, value)
        if name in TRANSFORMS and not isinstance(value, (list, tuple)):
            raise UserError(f"{path}: {name} is {value!r}, expected a list of dictionaries with `type`")
        objects = value if name in TRANSFORMS else [] if name in ("region", "label_rule") else [value]
        if not all(isinstance(item, dict) and "type" in item for item in objects):
            raise UserError(f"{path}: {name} is {value!r}, expected a dictionary with `type`")
    rules = [rule.value for rule in FractionRule]
    if values.get("label_rule", rules[0]) not in rules or ("label_rule" in values and "task" not in values):
        found = values["label_rule"]
        raise UserError(f"{path}: label_rule is {found!r}, expected one of {', '.join(rules)}, in the config of a task")
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
    except Exception as error:  # the file is the user's program and may raise anything
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


def _build(path: Path, key: str, value: Any, facts: _Known) -> Any:
    if isinstance(value, dict) and "type" in value:
        return _instantiate(path, key, value, facts)
    if isinstance(value, dict):
        return {name: _build(path, f"{key}.{name}", item, facts) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_build(path, f"{key}.{index}", item, facts) for index, item in enumerate(value))
    return value


def _instantiate(path: Path, key: str, value: dict[str, Any], facts: _Known) -> Any:
    constructor = _imported(path, f"{key}.type", value["type"])
    arguments = {name: item for name, item in value.items() if name != "type"}
    ordered = _in_order_of_signature(path, key, constructor, arguments)
    built: dict[str, Any] = {}
    for name, item in ordered.items():
        built[name] = _build(path, f"{key}.{name}", item, facts)
        if isinstance(built[name], GivesChannels):
            facts = {**facts, f"{name}.out_channels": (built[name].out_channels, f"{key}.{name}.out_channels")}
    annotations = _annotations(constructor)
    _derive(path, key, annotations, built, facts)
    _check_complete(path, key, constructor, built)
    for name, annotation in annotations.items():
        if name in built and not _fits(built[name], annotation):
            raise UserError(f"{path}: {key}.{name} is {built[name]!r}, expected {_readable(annotation)}")
    try:
        return constructor(**built)
    except ValueError as error:
        raise UserError(f"{path}: {key}: {error}") from error


def _derive(path: Path, key: str, annotations: Mapping[str, Any], built: dict[str, Any], facts: _Known) -> None:
    """Fill the arguments that follow from the facts (`derived.py`), where the config leaves them out.

    Raises:
        UserError: a value of the config contradicts a fact.
    """
    for name, annotation in annotations.items():
        for mark in _marks(annotation):
            if mark.fact not in facts:
                continue
            expected, source = facts[mark.fact]
            if name not in built:
                built[name] = expected
            elif not _agrees(built[name], expected, mark.choice):
                raise UserError(
                    f"{path}: {key}.{name} is {built[name]!r}, but {mark.fact} of {source} is {expected!r}; leave "
                    f"{name} out of the config"
                )


def _marks(annotation: Any) -> list[Derived]:
    """What an argument is derived from."""
    extras = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is typing.Annotated else ()
    return [extra for extra in extras if isinstance(extra, Derived)]


def _agrees(value: Any, expected: Any, choice: bool) -> bool:
    if choice:
        return not isinstance(expected, tuple) or set(value) <= set(expected)
    return bool((tuple(value) if isinstance(expected, tuple) else value) == expected)


def _imported(path: Path, key: str, name: Any) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if not module:
        raise UserError(f"{path}: {key} is {name!r}, expected a class, or its name with its module")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{path}: {key}: {name} cannot be imported ({error})") from error
    if not callable(found):
        raise UserError(f"{path}: {key}: {name} is not a class")
    return found


def _in_order_of_signature(
    path: Path, key: str, constructor: Callable[..., Any], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments in the order of the constructor's own, so that parts are built before what follows from them.

    Raises:
        UserError: the constructor does not have one of them.
    """
    parameters = inspect.signature(constructor).parameters.values()
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for argument in arguments:
            if argument not in known:
                raise UserError(
                    f"{path}: {key}: {_name_of(constructor)} has no argument {argument!r}{_nearest(argument, known)}; "
                    f"it has: {', '.join(known) or 'none'}"
                )
    names = [*(name for name in known if name in arguments), *(name for name in arguments if name not in known)]
    return {name: arguments[name] for name in names}


def _check_complete(path: Path, key: str, constructor: Callable[..., Any], built: Mapping[str, Any]) -> None:
    annotations = _annotations(constructor)
    for p in inspect.signature(constructor).parameters.values():
        needed = p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.default is p.empty
        if needed and p.name not in built:
            derived = _marks(annotations.get(p.name))
            why = f"; it follows from {derived[0].fact}, which is not known here" if derived else ""
            raise UserError(f"{path}: {key}: {_name_of(constructor)} needs the argument {p.name!r}{why}")


def _name_of(constructor: Callable[..., Any]) -> str:
    return constructor.__name__ if inspect.isclass(constructor) or inspect.isfunction(constructor) else str(constructor)


def _annotations(constructor: Callable[..., Any]) -> dict[str, Any]:
    target = constructor.__init__ if inspect.isclass(constructor) else constructor
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError:  # a name that is imported for type checkers only: nothing to compare with at run time
        return {}


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value has the annotated type, as far as it can be checked without knowing the class."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _fits(value, inner[0])
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
    if typing.get_origin(annotation) is typing.Annotated:
        return _readable(typing.get_args(annotation)[0])
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
