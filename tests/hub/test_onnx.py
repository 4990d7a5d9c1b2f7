"""ONNX files against torch, by onnxruntime; folded norms against the network in eval mode."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pc_ssl import cli
from pc_ssl.engine.weights import read_tensors, save_weights
from pc_ssl.errors import UserError
from pc_ssl.geometry import BevGrid
from pc_ssl.hub.onnx import PillarLayers, dense_parts, difference_of, export_onnx, folded, graph_of
from pc_ssl.models import SECOND, PointPillars, SparseUNet
from pc_ssl.models.sparse import ResidualBlock
from pc_ssl.structures import PointBatch

GRID = BevGrid((-1.6, -1.6, -2.0), (1.6, 1.6, 2.0), (0.1, 0.1, 0.2))


def randomised(network: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.3, 0.3)
    return network.eval()


def second(block: str = "residual") -> SECOND:
    torch.manual_seed(1)
    return randomised(SECOND(GRID, 1, (4, 4, 8, 8), (1, 1, 1, 1), (8, 8), (1, 2), 6, block=block))


def pillars(layers: int = 1, max_points: int | None = 4) -> PointPillars:
    torch.manual_seed(1)
    network = PointPillars(GRID, 1, 8, (8, 8), (1, 1), 4, level=0, point_layers=layers, max_points=max_points)
    return randomised(network)


@pytest.mark.parametrize("network", [second(), pillars(), pillars(2)], ids=["second", "pillars", "two layers"])
def test_onnxruntime_gives_what_torch_gives(network: nn.Module) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    parts = dense_parts(network)
    assert [part.name for part in parts] == (["neck"] if isinstance(network, SECOND) else ["neck", "pillars"])
    for part in parts:
        graph = graph_of(part)
        found, scale = difference_of(part, graph)
        assert found <= 1e-5 * scale
        for parameter in part.module.parameters():
            parameter.data *= 1.5
        assert difference_of(part, graph)[0] > 1e-2  # of other weights


@pytest.mark.parametrize("layers", [1, 2])
def test_padded_pillars_give_what_the_network_gives(layers: int) -> None:
    """Points of two pillars, one with fewer points than P and one with more, decorated by hand."""
    network = pillars(layers)
    points = torch.tensor([
        [0.01, 0.02, 0.1, 0.5], [0.05, 0.06, 0.3, 0.2],
        *([0.51 + 0.01 * k, 0.42, 0.1 * k, 0.1 * k] for k in range(6)),
    ])  # fmt: skip
    rows = []
    for cloud, centre in ((points[:2], (0.05, 0.05)), (points[2:6], (0.55, 0.45))):
        parts = [cloud, cloud[:, :3] - cloud[:, :3].mean(dim=0), cloud[:, :2] - torch.tensor(centre)]
        decorated = torch.cat(parts, dim=1)
        rows.append(torch.cat([decorated, torch.zeros(4 - len(cloud), 9)]))
    with torch.no_grad():
        found = PillarLayers(network)(torch.stack(rows))
        expected = network.encode(PointBatch.pack([points]))
    torch.testing.assert_close(found, expected[0, :, [16, 20], [16, 21]].T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("block", ["plain", "residual"])
def test_folded_norms_give_the_same_map(block: str) -> None:
    network = second(block)
    points = PointBatch.pack([torch.rand(300, 4, generator=torch.Generator().manual_seed(0)) * 3 - 1.5])
    with torch.no_grad():
        expected = network.encode(points)
        tensors = folded(network)
        for name, module in network.named_modules():
            if isinstance(module, ResidualBlock):
                put(module.second, module.norm, tensors, f"{name}.second")
            elif f"{name}.weight" in tensors and isinstance(getattr(module, "norm", None), nn.BatchNorm1d):
                put(module.convolution, module.norm, tensors, name)
        assert tensors == {}
        torch.testing.assert_close(network.encode(points), expected, rtol=1e-4, atol=1e-5)


def put(convolution: nn.Module, norm: nn.BatchNorm1d, tensors: dict[str, torch.Tensor], name: str) -> None:
    """Use a folded convolution: the norm only adds the bias."""
    convolution.weight.data = tensors.pop(f"{name}.weight")
    norm.weight.data.fill_(1)
    norm.bias.data = tensors.pop(f"{name}.bias")
    norm.running_mean.fill_(0)
    norm.running_var.fill_(1 - norm.eps)


def test_a_shortcut_is_folded_to_a_convolution_of_one_voxel() -> None:
    network = randomised(SparseUNet((0.2,) * 3, 1, 8, (8, 16), (1, 1), (16, 8), (1, 1)))
    tensors = folded(network)
    shortcut = network.encoder[1][0].shortcut
    x = torch.randn(5, 8)
    kernel = tensors["encoder.1.0.shortcut.weight"]
    assert kernel.shape == (16, 1, 1, 1, 8)
    found = x @ kernel[:, 0, 0, 0].T + tensors["encoder.1.0.shortcut.bias"]
    torch.testing.assert_close(found, shortcut(x), rtol=1e-5, atol=1e-6)


def test_the_command_writes_files_and_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    save_weights(tmp_path / "w.safetensors", nn.ModuleDict({"backbone": second()}), {"method": "PRC"})
    monkeypatch.setattr(
        sys, "argv", ["pc-ssl", "export", str(tmp_path / "w.safetensors"), "--to", "onnx", "--out", str(tmp_path / "o")]
    )
    cli.app(standalone_mode=False)
    text = capsys.readouterr().out
    assert "not exported" in text
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"neck.onnx", "onnx.json", "sparse.safetensors"}
    assert "voxelisation" in json.loads((tmp_path / "o" / "onnx.json").read_text())["not exported"]
    tensors, metadata = read_tensors(tmp_path / "o" / "sparse.safetensors")
    assert tensors["stages.0.weight"].shape == (4, 3, 3, 3, second().stages[0].convolution.weight.shape[-1])
    assert metadata["method"] == "PRC"


def test_without_the_extra_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match="onnx"):
        export_onnx(second(), tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
