"""The doctor finds nothing on a sound installation, and each of several planted faults."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pc_ssl import ops
from pc_ssl.cli import app
from pc_ssl.doctor import Examination, Status, examine
from pc_ssl.doctor.checks import Check, Outcome, difference_of, outcome_of
from pc_ssl.doctor.examination import REFERENCES, checks
from pc_ssl.heads import TASKS
from pc_ssl.methods import METHODS
from pc_ssl.models import BACKBONES
from pc_ssl.models.norm import RowNorm

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def examination() -> Examination:
    return examine(CPU)


def outcome(key: str) -> Outcome:
    """Of one check, now."""
    import numpy as np

    with np.load(REFERENCES, allow_pickle=False) as file:
        stored = {name: torch.from_numpy(file[name]) for name in file.files}
    (check,) = [one for one in checks() if one.key == key]
    return outcome_of(check, stored, CPU)


def test_a_sound_installation_is_right(examination: Examination) -> None:
    wrong = [found for found in examination.outcomes if found.status not in (Status.RIGHT, Status.SLOW)]
    assert not wrong
    assert examination.sound


def test_every_backbone_method_and_task_is_checked(examination: Examination) -> None:
    keys = {found.check for found in examination.outcomes}
    assert {f"method/{name}" for name in METHODS} <= keys
    assert {f"backbone/{name}" for name in BACKBONES} <= keys
    assert sum(key.startswith("head/") for key in keys) == len(TASKS) + 1  # detection has two heads
    exported = {name for name in ops.__all__ if name not in ("ConvPlan", "RegionPlan", "region_pool_reference")}
    assert exported == {key.removeprefix("op/").split(" ")[0] for key in keys if key.startswith("op/")}


def test_a_wrong_region_mean_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ops.region_pool

    def wrong(feature: Tensor, region: Tensor, num_regions: int, reduce: Any = "mean", plan: Any = None) -> Tensor:
        """Divides by one point too many."""
        count = torch.bincount(region[region >= 0], minlength=num_regions).clamp(min=1)[:, None]
        return right(feature, region, num_regions, reduce, plan) * (count / (count + 1) if reduce == "mean" else 1)

    monkeypatch.setattr(ops, "region_pool", wrong)
    assert outcome("op/region_pool mean").status is Status.WRONG
    assert outcome("op/region_pool max").status is Status.RIGHT


def test_suppression_that_drops_one_box_too_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ops.rotated_nms
    monkeypatch.setattr(ops, "rotated_nms", lambda *args, **named: right(*args, **named)[:-1])
    found = outcome("op/rotated_nms")
    assert found.status is Status.WRONG
    assert "differs" in found.detail


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("key", ["backbone/sparse_unet", "method/prc"])
def test_a_cast_inside_a_network_is_found(key: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[[Any, Tensor], Tensor] = RowNorm.forward
    monkeypatch.setattr(RowNorm, "forward", lambda self, x: right(self, x.to(dtype).to(x.dtype)))
    assert outcome(key).status is Status.WRONG


def test_an_error_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Tensor:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(ops, "region_gather", broken)
    found = outcome("op/region_gather")
    assert found.status is Status.WRONG
    assert found.detail == "RuntimeError: no kernel image is available"


def test_slow_and_missing_are_told_apart() -> None:
    def slow(_: torch.device) -> dict[str, Tensor]:
        import time

        time.sleep(0.2)
        return {"x": torch.ones(1)}

    def quick(_: torch.device) -> dict[str, Tensor]:
        return {"x": torch.ones(1)}

    def missing(_: torch.device) -> dict[str, Tensor]:
        raise ModuleNotFoundError("No module named 'spconv'", name="spconv")

    expected = {"op/a/x": torch.ones(1)}
    assert outcome_of(Check("op", "a", slow, baseline=quick), expected, CPU).status is Status.SLOW
    assert outcome_of(Check("op", "a", missing), expected, CPU).detail == "spconv is not installed"
    assert outcome_of(Check("op", "b", quick), {}, CPU).status is Status.WRONG  # nothing to compare with


def test_differences() -> None:
    assert difference_of(torch.tensor([1.0, 4.5]), torch.tensor([1.0, 4.0])) == pytest.approx(0.125)
    assert difference_of(torch.tensor([1.0]), torch.tensor([1.0, 2.0])) == float("inf")
    assert difference_of(torch.tensor([1]), torch.tensor([1.0])) == float("inf")
    assert difference_of(torch.tensor([float("nan")]), torch.tensor([1.0])) == float("inf")
    assert difference_of(torch.tensor([float("nan")]), torch.tensor([float("nan")])) == 0.0


def test_an_infinite_difference_is_written_as_none() -> None:
    wrong = Outcome("op/a", Status.WRONG, 0.1, float("inf"), detail="stored x differs")
    (found,) = Examination("cpu", (), (wrong,)).as_json()["checks"]
    assert found["difference"] is None
    assert json.loads(json.dumps(found, allow_nan=False))["status"] == "wrong"


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "doctor.json"
    assert app(["doctor", "--device", "cpu", "--json", str(file)], standalone_mode=False) == 0
    printed = capsys.readouterr().out
    assert "method/prc" in printed
    assert "0 wrong" in printed
    found = json.loads(file.read_text())
    assert {one["status"] for one in found["checks"]} <= {"right", "slow"}
    assert {"torch", "spconv", "compiled ops"} <= {part["name"] for part in found["parts"]}


BLOCKED = (
    "import importlib.abc, sys\n"
    "class Blocked(importlib.abc.MetaPathFinder):\n"
    "    def find_spec(self, name, path, target=None):\n"
    "        if name.split('.')[0] in ('mmengine', 'open3d', 'nuscenes', 'numba', 'safetensors', 'cv2', 'PIL', \n"
    "                                  'typer', 'transformers', 'rich'):\n"
    "            raise ModuleNotFoundError(f'{name} is blocked', name=name)\n"
    "sys.meta_path.insert(0, Blocked())\n"
    "import torch\n"
    "from pc_ssl.doctor import Status, examine\n"
    "wrong = [f'{o.check}: {o.detail}' for o in examine(torch.device('cpu')).outcomes if o.status is not Status.RIGHT\n"
    "         and o.status is not Status.SLOW]\n"
    "print(wrong)\n"
)


def test_torch_numpy_and_spconv_are_enough() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[]"
