import itertools
import re
from pathlib import Path

import pytest

from pc_ssl.config import load_config
from pc_ssl.data.fractions import FractionRule
from pc_ssl.derived import Facts
from pc_ssl.errors import UsageError, UserError
from pc_ssl.geometry import BevGrid

TOYS = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pc_ssl.derived import BackboneChannels, LabelNames, NumClasses
from pc_ssl.geometry import BevGrid


@dataclass(frozen=True)
class Network:
    grid: BevGrid
    widths: tuple[int, ...]
    temperature: float = 0.1
    name: str | None = None


@dataclass(frozen=True)
class Part:
    out_channels: int


@dataclass(frozen=True)
class Head:
    in_channels: BackboneChannels
    names: LabelNames = ("car",)


@dataclass(frozen=True)
class Whole:
    backbone: Part
    head: Head
    num_classes: NumClasses = 17


@dataclass(frozen=True)
class Options:
    steps: int
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
"""
BASE = """
from pc_ssl.geometry import BevGrid

_grid = dict(type=BevGrid, lower=(0.0, 0.0, 0.0), upper=(4.0, 4.0, 2.0), voxel_size=(0.5, 0.5, 1.0))
_steps = 10
"""
CONFIG = """
from mmengine.config import read_base
from {toys} import Network, Options

with read_base():
    from .base import _grid, _steps

method = dict(type=Network, grid=dict(_grid, upper=(8.0, 8.0, 2.0)), widths=(4, 8))
train = dict(type=Options, steps=_steps)
region = "dbscan"
"""
NUMBER = itertools.count()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config file that inherits from another and names the classes of a module next to it."""
    toys = f"toys{next(NUMBER)}"
    (tmp_path / f"{toys}.py").write_text(TOYS)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "base.py").write_text(BASE)
    path = tmp_path / "mine.py"
    path.write_text(CONFIG.format(toys=toys))
    return path


def rewrite(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_objects_are_built_inside_out(config: Path) -> None:
    loaded = load_config(config)
    method = loaded.build("method")
    assert type(method).__name__ == "Network"
    assert method.grid == BevGrid((0.0, 0.0, 0.0), (8.0, 8.0, 2.0), (0.5, 0.5, 1.0))
    assert (method.widths, method.temperature, loaded.build("train").steps) == ((4, 8), 0.1, 10)
    assert (loaded.kind, loaded.region) == ("method", "dbscan")


def test_private_names_are_not_part_of_the_run(config: Path) -> None:
    assert list(load_config(config).values) == ["method", "train", "region"]


def test_overrides_replace_and_add_arguments(config: Path) -> None:
    overrides = ["train.steps=3", "method.temperature=1", "method.name=wide", "method.grid.upper=(2.0, 2.0, 2.0)"]
    loaded = load_config(config, overrides)
    method = loaded.build("method")
    assert (method.temperature, method.name, method.grid.shape) == (1, "wide", (4, 4, 2))
    assert loaded.build("train").steps == 3


def test_an_overridden_voxel_size_leaves_no_stale_shape(config: Path) -> None:
    method = load_config(config, ["method.grid.voxel_size=(0.25, 0.25, 1.0)"]).build("method")
    assert method.grid.shape == (32, 32, 2)


def test_the_resolved_text_reads_back_to_the_same_values(config: Path, tmp_path: Path) -> None:
    loaded = load_config(config, ["method.temperature=0.07", "train.schedule=cosine"])
    (tmp_path / "resolved.py").write_text(loaded.to_python())
    again = load_config(tmp_path / "resolved.py")
    assert again.values == loaded.values
    assert again.hash == loaded.hash != load_config(config).hash
    assert again.build("method") == loaded.build("method")


def test_flat_names_every_value(config: Path) -> None:
    flat = load_config(config).flat()
    assert flat["method.grid.upper"] == (8.0, 8.0, 2.0)
    assert flat["train.steps"] == 10
    assert flat["region"] == "dbscan"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("region =", "regoin =", r"mine\.py: unknown name 'regoin' \(did you mean 'region'\?\); known: method, task"),
        ("method =", "task = dict()\nmethod =", "needs `train` and either `method` or `task`"),
        ("train =", "_train =", "needs `train` and either `method` or `task`; it has method, region"),
        ("dict(type=Options, ", "dict(", r"train is \{'steps': 10\}, expected a dictionary with `type`"),
        ('"dbscan"', "3", "region is 3, expected the name of a region generator"),
        ("(4, 8)", "(4, float('nan'))", r"method\.widths\.1 is nan, expected a finite number"),
        ("steps=_steps", "steps=_step", r"mine\.py: cannot be executed \(NameError: name '_step' is not defined\)"),
        ("steps=_steps)", "steps=_steps", r"mine\.py: line \d+: '\(' was never closed"),
        ("from .base", "from .bass", r"mine\.py: cannot be executed \(ConfigParsingError: .*bass\.py not found"),
    ],
)
def test_a_wrong_file_is_one_line(config: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_config(rewrite(config, old, new))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "method.temprature=1",
            r"mine\.py: method: Network has no argument 'temprature' \(did you mean 'temperature'\?\); "
            "it has: grid, widths, temperature, name",
        ),
        ("method.temperature=hot", r"mine\.py: method\.temperature is 'hot', expected float"),
        ("method.temperature=True", r"method\.temperature is True, expected float"),
        ("method.widths=(4, 8.5)", r"method\.widths is \(4, 8\.5\), expected tuple"),
        ("method.name=7", r"method\.name is 7, expected str | None"),
        ("train.schedule=step", r"train\.schedule is 'step', expected 'one_cycle' or 'cosine'"),
        ("train.steps=0", r"mine\.py: train: steps must be at least 1, got 0"),
        ("method.grid.voxel_size=(0.3, 0.5, 1.0)", r"method\.grid: BevGrid: along x 8 m is not a whole number"),
        ("method.grid={}", r"method\.grid is \{\}, expected BevGrid"),
        ("method.type=toys.Missing", r"method\.type: toys\.Missing cannot be imported"),
        ("method.type=Network", r"method\.type is 'Network', expected a class"),
    ],
)
def test_a_wrong_argument_names_file_key_and_what_was_expected(config: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        loaded = load_config(config, [override])
        loaded.build("method"), loaded.build("train")
    assert "\n" not in str(caught.value)


def test_a_missing_argument_is_named(config: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.py: method: Network needs the argument 'widths'"):
        load_config(rewrite(config, ", widths=(4, 8)", "")).build("method")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "expected key=value"),
        ("=3", "expected key=value"),
        ("trian.steps=3", r"mine\.py has no section 'trian' \(did you mean 'train'\?\)"),
        ("method.gird.upper=3", r"method has no section 'gird' \(did you mean 'grid'\?\)"),
        ("train.steps.x=3", "train has no section 'steps'"),
        ("regoin=hdbscan", r"unknown name 'regoin' \(did you mean 'region'\?\)"),
    ],
)
def test_a_wrong_override_is_a_usage_error(config: Path, override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(config, [override])


def test_a_missing_file_and_another_format_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.py: no such file"):
        load_config(tmp_path / "none.py")
    with pytest.raises(UserError, match=r"mine\.yaml: config files are Python files"):
        load_config(tmp_path / "mine.yaml")


WHOLE = """
from {toys} import Head, Options, Part, Whole

task = dict(type=Whole, head=dict(type=Head), backbone=dict(type=Part, out_channels=8))
train = dict(type=Options, steps=1)
"""
FACTS = Facts("some cache", {"num_classes": 3, "label_names": ("car", "tree")})


def whole(config: Path) -> Path:
    config.write_text(WHOLE.format(toys=re.search(r"from (toys\d+)", config.read_text())[1]))
    return config


def test_arguments_that_follow_from_the_data_or_another_part_are_filled_in(config: Path) -> None:
    task = load_config(whole(config)).build("task", FACTS)
    assert (task.num_classes, task.head.names, task.head.in_channels) == (3, ("car", "tree"), 8)
    alone = load_config(config).build("task")
    assert (alone.num_classes, alone.head.names, alone.head.in_channels) == (17, ("car",), 8)
    fewer = load_config(config, ["task.head.names=('tree',)"]).build("task", FACTS)
    assert fewer.head.names == ("tree",)


@pytest.mark.parametrize(
    ("override", "found", "expected", "source"),
    [
        ("task.num_classes=5", "5", "3", "some cache"),
        ("task.head.names=('tree', 'bus')", "('tree', 'bus')", "('car', 'tree')", "some cache"),
        ("task.head.in_channels=4", "4", "8", "task.backbone.out_channels"),
    ],
)
def test_a_value_that_contradicts_what_it_follows_from_is_refused(
    config: Path, override: str, found: str, expected: str, source: str
) -> None:
    loaded = load_config(whole(config), [override])
    with pytest.raises(UserError) as error:
        loaded.build("task", FACTS)
    message = str(error.value)
    assert all(part in message for part in (override.partition("=")[0], found, expected, source))


def test_an_argument_that_follows_from_something_unknown_is_named(config: Path) -> None:
    whole(config)
    rewrite(config, "type=Whole, head=dict(type=Head), backbone=dict(type=Part, out_channels=8)", "type=Head")
    with pytest.raises(UserError, match=r"task: Head needs the argument 'in_channels'.*backbone\.out_channels"):
        load_config(config).build("task")


def test_a_task_names_the_rule_by_which_its_scenes_are_labelled(config: Path) -> None:
    assert load_config(whole(config)).label_rule is FractionRule.SLIDR
    assert load_config(config, ["label_rule=calico"]).label_rule is FractionRule.CALICO
    with pytest.raises(UserError, match=r"label_rule is 'every', expected one of slidr, calico, scannet"):
        load_config(config, ["label_rule=every"])


def test_a_method_has_no_rule_of_labels(config: Path) -> None:
    with pytest.raises(UserError, match=r"label_rule is 'calico'.*config of a task"):
        load_config(config, ["label_rule=calico"])
