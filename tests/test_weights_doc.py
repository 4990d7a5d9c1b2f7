"""The commands of docs/weights.md, on a small network and recording."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pc_ssl import cli
from pc_ssl.engine.weights import read_tensors, save_weights
from pc_ssl.geometry import BevGrid
from pc_ssl.hub import load
from pc_ssl.models import SECOND

DOC = Path(__file__).parents[1] / "docs" / "weights.md"
COMMANDS = [line.strip() for line in DOC.read_text().splitlines() if line.startswith("    pc-ssl ")]
GRID = BevGrid((-1.6, -1.6, -2.0), (1.6, 1.6, 2.0), (0.1, 0.1, 0.1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run: a run's weights of the layers that the page names, and a recording."""
    monkeypatch.chdir(tmp_path)
    options = re.search(r"The options of `SECOND`: `(.*?)`", DOC.read_text(), re.DOTALL)
    assert options is not None
    given = dict(part for part in re.findall(r"(\w+)=(\([^)]*\)|[^,]+)", " ".join(options[1].split())))
    layers = {
        name: tuple(map(int, text.strip("()").split(","))) if text.startswith("(")
        else {"True": True}.get(text, text.strip('"') if text.startswith('"') else None)
        for name, text in given.items() if name not in ("norm_eps", "norm_momentum")
    }  # fmt: skip
    assert layers["block"] == "residual"
    torch.manual_seed(0)
    norm = {name: float(given[name]) for name in ("norm_eps", "norm_momentum")}
    network = SECOND(GRID, 2, neck_channels=(8, 8), upsampled_channels=6, **layers, **norm)
    save_weights(
        tmp_path / "work_dirs/prc/weights.safetensors", nn.ModuleDict({"backbone": network}), {"method": "PRC"}
    )
    (tmp_path / "drive").mkdir()
    for number in range(2):
        rows = np.random.default_rng(number).uniform(0, 1, (50, 5)).astype("<f4")
        rows.tofile(tmp_path / "drive" / f"{number:06d}.bin")
    return tmp_path


def test_the_pages_commands_run_and_give_the_weights_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    for command in COMMANDS:
        words = shlex.split(command)
        if "CONFIG" in words or "..." in words:
            continue
        if "onnx" in words:
            pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
            pytest.importorskip("onnx", reason="the extra onnx is not installed")
        if words[1] == "import":  # the published checkpoint is stood in for by the one exported before
            (folder / words[2]).write_bytes((folder / "prc.pth").read_bytes())
            words += ["--set", "grid.lower=(-1.6,-1.6,-2.0)", "--set", "grid.upper=(1.6,1.6,2.0)", "--set",
                      "grid.voxel_size=(0.1,0.1,0.1)"]  # fmt: skip
        monkeypatch.setattr(sys, "argv", words)
        cli.app(standalone_mode=False)
        done.append(words[1])
    assert sorted(done) == ["export", "export", "features", "import", "publish"]
    before, _ = read_tensors(folder / "work_dirs/prc/weights.safetensors")
    after, _ = read_tensors(folder / "centerpoint.safetensors")
    assert before.keys() == after.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-6, atol=1e-7)
    loaded = load("published/prc").state_dict()
    assert all(torch.equal(loaded[name.removeprefix("backbone.")], value) for name, value in before.items())
    assert len(list((folder / "features" / "features").rglob("*.safetensors"))) == 2
