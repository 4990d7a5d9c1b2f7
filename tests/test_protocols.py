"""Each class of the tables is what its protocol says, by the type checker."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.readers import READERS
from data_prep.regions import GENERATORS
from pc_ssl.data.transforms import TRANSFORMS
from pc_ssl.heads import TASKS
from pc_ssl.methods import METHODS, JointViews
from pc_ssl.models import BACKBONES, LiftSplat
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.views import VIEWS, SensorViews, SingleView

ROOT = Path(__file__).parents[1]
CAMERA, FUSED = LiftSplat, BevEncoder  # take images, and both points and images
CHECKS = [
    *(("Method", kind) for kind in METHODS.values()),
    *(("Task", kind) for kind in TASKS.values()),
    *(("Network", kind) for kind in BACKBONES.values()),
    *(("Backbone", kind) for kind in BACKBONES.values() if kind not in (CAMERA, FUSED)),
    ("CameraBackbone", CAMERA),
    *(("Views", kind) for kind in (*VIEWS.values(), JointViews)),
    *(("TaskViews", kind) for kind in (SensorViews, SingleView)),
    *(("SceneTransform", kind) for kind in TRANSFORMS.values()),
    *(("RegionGenerator", kind) for kind in {type(generator) for generator in GENERATORS.values()}),
]
# `READERS` makes its readers by functions that import them when they are called.
READER_CLASSES = re.findall(
    r"from (data_prep\.\w+) import (?:.*, )?(\w+Reader)\b", (ROOT / "data_prep/readers.py").read_text()
)
# Classes that lack one member, or have it of another type.
WRONG = '''
class Whole(PRC): ...
class NumberOfNetworks(PRC):
    networks = 3  # type: ignore[assignment]
class NoReads:
    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> Scene:
        return scene
class NoGrids:
    reads: ClassVar[frozenset[str]] = frozenset()
    def __call__(self, scene: Scene, rng: np.random.Generator) -> Scene:
        return scene
class NoCall(SceneTransform): ...
class NoCollate(nn.Module):
    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)
    def __init__(self, backbone: SECOND, views: PairViews) -> None:
        super().__init__()
        self.backbone, self.views = backbone, views
    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        return {}
class NoNeedsWeights(nn.Module):
    networks: ClassVar[tuple[str, ...]] = ("backbone",)
    collate = staticmethod(PairBatch.pack)
    def __init__(self, backbone: SECOND, views: PairViews) -> None:
        super().__init__()
        self.backbone, self.views = backbone, views
    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        return {}
'''  # fmt: skip
REFUSED = [
    *(("Method", name) for name in ("NumberOfNetworks", "NoCollate", "NoNeedsWeights", "SECOND", "SegmentationTask")),
    *(("Views", name) for name in ("NoReads", "NoGrids")),
    *(("TaskViews", "PairViews"), ("SceneTransform", "NoCall"), ("Backbone", "LiftSplat"), ("Task", "PPKT")),
]
HEAD = """from __future__ import annotations
from collections.abc import Sequence
from typing import ClassVar
import numpy as np
from torch import Tensor, nn
from pc_ssl.geometry import BevGrid
from pc_ssl.heads import SegmentationTask
from pc_ssl.methods import PPKT, PRC
from pc_ssl.models import SECOND, LiftSplat
from pc_ssl.structures import PairBatch, Scene
from pc_ssl.views import PairViews
from pc_ssl.protocols import Backbone, CameraBackbone, Method, Network, RegionGenerator, SceneTransform, Task
from pc_ssl.protocols import TaskViews, Views
from data_prep.reader import Reader
"""


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """(protocol, class) -> what the type checker says against it; of all checks in one run."""
    lines = HEAD.splitlines() + WRONG.splitlines()
    line_of = {}
    imports = {kind: f"import {kind.__module__}" for _, kind in CHECKS}
    readers = [("Reader", ".".join(names)) for names in READER_CLASSES]
    lines[1:1] = sorted({*imports.values(), *(f"import {name.rpartition('.')[0]}" for _, name in readers)})
    for protocol, kind in [*CHECKS, *readers, ("Method", "Whole"), *REFUSED]:
        name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__name__}"
        lines.append(f"check{len(lines)}: type[{protocol}] = {name}")
        line_of[len(lines)] = (protocol, name.rpartition(".")[2])
    path = tmp_path_factory.mktemp("protocols") / "assignments.py"
    path.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(path)]
    done = subprocess.run([*command, "--hide-error-context"], capture_output=True, text=True, cwd=ROOT)
    found: dict[tuple[str, str], str] = {}
    for number, message in re.findall(r"assignments\.py:(\d+): error: (.*)", done.stdout):
        assert int(number) in line_of, done.stdout
        found[line_of[int(number)]] = message
    assert "checked 1 source file" in done.stdout, done.stdout + done.stderr
    return found


def test_each_class_has_the_members_of_its_protocol(errors: dict[tuple[str, str], str]) -> None:
    assert len(CHECKS) > 30
    wrong = {check: errors[check] for check in ((p, kind.__name__) for p, kind in CHECKS) if check in errors}
    assert wrong == {}
    assert ("Method", "Whole") not in errors


def test_each_reader_has_the_members_of_its_protocol(errors: dict[tuple[str, str], str]) -> None:
    assert len(READER_CLASSES) == len(READERS)
    assert [check for check in errors if check[0] == "Reader"] == []


@pytest.mark.parametrize("check", REFUSED, ids=" ".join)
def test_a_class_without_a_member_is_refused(errors: dict[tuple[str, str], str], check: tuple[str, str]) -> None:
    assert check in errors
