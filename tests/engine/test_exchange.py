"""`pc-ssl export` and `pc-ssl import`: files that other frameworks' loaders accept, and one line for every mistake."""

import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pc_ssl import cli
from pc_ssl.engine.weights import load_backbone, network_of, read_metadata, read_tensors, save_weights
from pc_ssl.errors import UserError
from pc_ssl.geometry import BevGrid
from pc_ssl.interop import openpcdet
from pc_ssl.interop.convert import from_peer
from pc_ssl.interop.files import read_checkpoint
from pc_ssl.interop.pairs import pair_of
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.models.lidar import SECOND, PointPillars, SparseUNet

GRID = BevGrid((-1.6, -2.4, -2.0), (1.6, 2.4, 2.0), (0.1, 0.1, 0.1))
PEER: dict[str, Any] = {
    "voxel_features": "mean", "block": "residual", "extra_slice": True, "z_paddings": (1, 1, 0, 0), "norm_eps": 1e-3,
    "norm_momentum": 0.01,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "stem_channels": 8, "encoder_channels": (8, 8, 16, 16), "encoder_blocks": (1, 1, 1, 1),
    "decoder_channels": (16, 8, 8, 8),
}  # fmt: skip
Run = Callable[..., tuple[int, str, str]]


def second(**options: Any) -> SECOND:
    return SECOND(GRID, 2, neck_channels=(8,), neck_layers=(2,), upsampled_channels=6, **options)


def saved(path: Path, backbone: nn.Module) -> Path:
    torch.manual_seed(1)
    for module in backbone.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    save_weights(path, nn.ModuleDict({"backbone": backbone}), {"method": "PRC"})
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Run:
    """Exit code, standard output and error of `pc-ssl`."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pc-ssl", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def pcdet_checkpoint(path: Path, change: Callable[[dict[str, Tensor]], None] = lambda _: None) -> Path:
    """A checkpoint as OpenPCDet saves it: the stored pair's weights, counters, and a detection head."""
    pair = pair_of(openpcdet.VOXEL_RES_BACKBONE)
    assert pair is not None
    state = {name: value.float() for name, value in pair.weights.items()}
    state |= {
        name.replace("running_var", "num_batches_tracked"): torch.tensor(7)
        for name in pair.weights
        if name.endswith("running_var")
    }
    state |= {"dense_head.shared_conv.0.weight": torch.zeros(4, 40, 3, 3), "global_step": torch.tensor([3])}
    change(state)
    torch.save({"epoch": 20, "it": np.float64(3.0), "model_state": OrderedDict(state), "version": "pcdet+0.6"}, path)
    return path


def test_export_and_import_give_the_same_weights(run: Run, tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights.safetensors", second(**PEER))
    code, out, error = run("export", weights, "--to", "openpcdet", "--out", tmp_path / "x.pth", "--check")
    assert (code, error) == (0, "")
    assert "VoxelResBackBone8x" in out
    assert "github.com/open-mmlab/OpenPCDet at 8caccce" in out
    state = torch.load(tmp_path / "x.pth", weights_only=True)["model_state"]
    assert state["backbone_3d.conv1.0.conv1.weight"].shape == (16, 3, 3, 3, 16)
    assert state["backbone_3d.conv1.0.conv1.bias"].tolist() == [0.0] * 16
    back = tmp_path / "back.safetensors"
    assert run("import", tmp_path / "x.pth", "--from", "openpcdet", "--out", back)[0] == 0
    before, after = read_tensors(weights)[0], read_tensors(back)[0]
    assert set(before) == set(after)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=2e-7, atol=0)


def test_an_imported_file_says_what_it_is_and_fits_its_network_alone(run: Run, tmp_path: Path) -> None:
    file = pcdet_checkpoint(tmp_path / "cbgs.pth")
    out = tmp_path / "w.safetensors"
    code, text, _ = run(
        "import", file, "--from", "openpcdet", "--out", out, "--licence", "CC BY-NC 4.0", "--set",
        "grid.voxel_size=(0.1, 0.1, 0.1)", "--set", "grid.lower=(-1.6, -2.4, -2.0)", "--set",
        "grid.upper=(1.6, 2.4, 2.0)", "--all",
    )  # fmt: skip
    assert code == 0
    assert "left             dense_head.shared_conv.0.weight" in text
    assert "intensity up to 255" in text
    metadata = read_metadata(out)
    assert metadata["licence"] == "CC BY-NC 4.0"
    assert metadata["source"].startswith("cbgs.pth sha256 ")
    network = SECOND(GRID, 2, neck_channels=(16, 24), neck_layers=(3, 3), upsampled_channels=20, **PEER)
    assert load_backbone(out, network).is_complete
    assert int(network.stages[0].norm.num_batches_tracked) == 7
    other = {**PEER, "z_paddings": (1, 1, 1, 0), "norm_eps": 1e-5}
    with pytest.raises(UserError, match=r"norm_eps is 1e-05, expected 0\.001"):
        load_backbone(out, SECOND(GRID, 2, neck_channels=(16, 24), neck_layers=(3, 3), upsampled_channels=20, **{
            **PEER, "norm_eps": 1e-5
        }))  # fmt: skip
    with pytest.raises(UserError):
        load_backbone(out, SECOND(GRID, 2, neck_channels=(16, 24), neck_layers=(3, 3), upsampled_channels=20, **other))


def test_weights_are_scaled_for_intensities_within_one(run: Run, tmp_path: Path) -> None:
    file = pcdet_checkpoint(tmp_path / "cbgs.pth")
    first = read_checkpoint(file)["backbone_3d.conv_input.0.weight"]
    run("import", file, "--from", "openpcdet", "--out", tmp_path / "a.safetensors")
    run("import", file, "--from", "openpcdet", "--out", tmp_path / "b.safetensors", "--intensity-max", 1)
    name = "backbone.stages.0.convolution.weight"
    scaled, same = (read_tensors(tmp_path / f"{letter}.safetensors")[0][name] for letter in "ab")
    assert torch.equal(same, first)
    assert torch.equal(scaled[..., [0, 1, 2, 4]], first[..., [0, 1, 2, 4]])
    torch.testing.assert_close(scaled[..., 3], first[..., 3] * 255)


def test_the_lidar_branch_of_a_fusion_network_is_exported(run: Run, tmp_path: Path) -> None:
    weights = saved(tmp_path / "w.safetensors", BevEncoder(second(**PEER)))
    assert run("export", weights, "--to", "bevfusion", "--out", tmp_path / "x.pth")[0] == 0
    state = torch.load(tmp_path / "x.pth", weights_only=True)["state_dict"]
    assert state["encoders.lidar.backbone.conv_input.0.weight"].shape == (3, 3, 3, 5, 16)
    assert state["encoders.lidar.backbone.conv_out.0.weight"].shape == (1, 1, 3, 128, 128)


def test_files_for_mmdet3d_carry_the_version_that_keeps_their_kernels(run: Run, tmp_path: Path) -> None:
    weights = saved(tmp_path / "w.safetensors", second(**PEER))
    assert run("export", weights, "--to", "mmdet3d", "--out", tmp_path / "x.pth")[0] == 0
    state = torch.load(tmp_path / "x.pth", weights_only=True)["state_dict"]
    layers = {name.rpartition(".")[0] for name in state}
    assert all(state._metadata[layer] == {"version": 2} for layer in layers)
    assert state._metadata["pts_middle_encoder"] == {"version": 2}


@pytest.mark.parametrize(
    ("backbone", "target", "key", "name"),
    [
        (
            SparseUNet(
                point_features=1, stem_layers=1, coordinates="cylindrical", voxel_features="first_features", **SMALL
            ),
            "slidr", "model_points", "convtr7p2s2.kernel",
        ),
        (SparseUNet(voxel_features="first", **SMALL), "mmdet3d", "state_dict", "backbone.decoder.3.1.1.bn2.weight"),
        (
            PointPillars(
                BevGrid((-1.6, -1.6, -5), (1.6, 1.6, 3), (0.2, 0.2, 8)), 2, max_points=20, norm_eps=1e-3, level=1
            ),
            "centerpoint", "state_dict", "reader.pfn_layers.0.linear.weight",
        ),
    ],
)  # fmt: skip
def test_files_of_each_form(run: Run, tmp_path: Path, backbone: nn.Module, target: str, key: str, name: str) -> None:
    weights = saved(tmp_path / "w.safetensors", backbone)
    code, _, error = run("export", weights, "--to", target, "--out", tmp_path / "x.pth", "--check")
    assert (code, error) == (0, "")
    assert name in torch.load(tmp_path / "x.pth", weights_only=True)[key]


def test_todays_default_second_is_not_called_equal(run: Run, tmp_path: Path) -> None:
    weights = saved(tmp_path / "w.safetensors", second())
    code, out, error = run("export", weights, "--to", "openpcdet", "--out", tmp_path / "x.pth")
    assert code == 1
    assert len(error.splitlines()) == 1
    assert "option           extra_slice is False, expected True" in out
    assert "of another shape backbone_3d.conv4.0.0.weight: [128, 3, 3, 3, 64], expected [64, 3, 3, 3, 64]" in out
    assert not (tmp_path / "x.pth").exists()


def test_leading_layers_alone_can_be_written(run: Run, tmp_path: Path) -> None:
    weights = saved(tmp_path / "w.safetensors", second(**{**PEER, "block": "plain"}))
    target = "openpcdet:VoxelBackBone8x"
    assert run("export", weights, "--to", target, "--out", tmp_path / "x.pth", "--prefix-only")[0] == 0
    layers = {name.split(".")[1] for name in torch.load(tmp_path / "x.pth", weights_only=True)["model_state"]}
    assert layers == {"conv_input", "conv1", "conv2", "conv3"}  # conv4 is 128 wide here and 64 there


def test_a_dry_run_writes_nothing(run: Run, tmp_path: Path) -> None:
    weights = saved(tmp_path / "w.safetensors", second(**PEER))
    assert run("export", weights, "--to", "openpcdet", "--out", tmp_path / "x.pth", "--dry-run")[0] == 0
    file = pcdet_checkpoint(tmp_path / "cbgs.pth")
    assert run("import", file, "--from", "openpcdet", "--out", tmp_path / "y.safetensors", "--dry-run")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"w.safetensors", "cbgs.pth"}


def test_weights_without_a_description_need_a_config(run: Run, tmp_path: Path) -> None:
    from pc_ssl.engine.weights import write_tensors

    weights, old = saved(tmp_path / "w.safetensors", second(**PEER)), tmp_path / "old.safetensors"
    write_tensors(old, read_tensors(weights)[0], {"method": "PRC"})
    code, _, error = run("export", old, "--to", "openpcdet", "--out", tmp_path / "x.pth")
    assert code == 1
    assert "--config" in error
    config = tmp_path / "config.py"
    config.write_text(
        "from pc_ssl.engine.options import TrainOptions\nfrom pc_ssl.geometry import BevGrid\n"
        "from pc_ssl.methods.prc import PRC\nfrom pc_ssl.models.lidar import SECOND\n"
        "from pc_ssl.views.lidar import PairViews\n"
        f"_grid = dict(type=BevGrid, lower={GRID.lower}, upper={GRID.upper}, voxel_size={GRID.voxel_size})\n"
        f"_layers = {PEER!r}\n"
        "method = dict(type=PRC, backbone=dict(type=SECOND, grid=_grid, neck_channels=(8,), neck_layers=(2,), "
        "upsampled_channels=6, **_layers))\n"
        "train = dict(type=TrainOptions, steps=1, batch_size=1, learning_rate=1e-3)\n"
    )
    assert run("export", old, "--to", "openpcdet", "--out", tmp_path / "x.pth", "--config", config)[0] == 0


def zeros(state: dict[str, Tensor]) -> None:
    for value in state.values():
        value.zero_()


def half(state: dict[str, Tensor]) -> None:
    for name in [name for name in state if "conv3" in name]:
        del state[name]


def narrow(state: dict[str, Tensor]) -> None:
    state["backbone_3d.conv2.0.0.weight"] = torch.zeros(24, 3, 3, 3, 16)


def infinite(state: dict[str, Tensor]) -> None:
    state["backbone_3d.conv2.0.0.weight"][0] = torch.inf


def strange(state: dict[str, Tensor]) -> None:
    state["backbone_3d.conv5.0.weight"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [(half, "missing"), (narrow, "another shape"), (infinite, "not finite"), (strange, "1 unexpected")],
)
def test_a_checkpoint_that_does_not_fit_writes_nothing(
    run: Run, tmp_path: Path, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    file = pcdet_checkpoint(tmp_path / "x.pth", change)
    code, _, error = run("import", file, "--from", "openpcdet", "--out", tmp_path / "w.safetensors")
    assert code == 1
    assert len(error.splitlines()) == 1
    assert "x.pth" in error
    assert message in error
    assert not (tmp_path / "w.safetensors").exists()


class Harmful:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("harmed",)


def write_pickle(path: Path) -> None:
    torch.save({"model_state": {"a": torch.zeros(1)}, "settings": Harmful()}, path)


def write_plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Harmful(), protocol=2))


def write_newer_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Harmful(), protocol=5))


def write_text(path: Path) -> None:
    path.write_text("not a checkpoint")


def write_cut_off(path: Path) -> None:
    pcdet_checkpoint(path)
    path.write_bytes(path.read_bytes()[:5000])


def write_empty(path: Path) -> None:
    torch.save({"epoch": 3}, path)


def write_another(path: Path) -> None:
    torch.save({"model_state": {"layer.weight": torch.zeros(3)}}, path)


def write_number(path: Path) -> None:
    torch.save(3, path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_pickle, "mkdir"),
        (write_plain_pickle, "mkdir"),
        (write_newer_pickle, "refused"),
        (write_text, "x.pth"),
        (write_cut_off, "not a whole checkpoint"),
        (write_empty, "epoch"),
        (write_another, "layer.weight"),
        (write_number, "int"),
        (lambda path: None, "no such file"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.pth")
    code, _, error = run("import", tmp_path / "x.pth", "--from", "openpcdet", "--out", tmp_path / "w.safetensors")
    assert code == 1
    assert len(error.splitlines()) == 1
    assert message in error
    assert not (tmp_path / "harmed").exists()
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [("detectron", "expected one of"), ("openpcdet:PointRCNN", "VoxelResBackBone8x"), ("slidr", "SECOND")],
)
def test_targets_that_do_not_exist_or_fit(run: Run, tmp_path: Path, target: str, message: str) -> None:
    weights = saved(tmp_path / "w.safetensors", second(**PEER))
    code, _, error = run("export", weights, "--to", target, "--out", tmp_path / "x.pth")
    assert code in (1, 2)
    assert len(error.splitlines()) == 1
    assert message in error


def test_weights_that_do_nothing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a loader skips every name: the output is that of random weights."""
    from pc_ssl.engine import exchange

    file = pcdet_checkpoint(tmp_path / "x.pth")
    monkeypatch.setattr(exchange, "probe", lambda description, tensors: torch.zeros(1))
    with pytest.raises(UserError, match="same output"):
        exchange.import_checkpoint(file, exchange.Source.parse("openpcdet", "--from"), None, (), None)


def test_a_description_that_names_other_code_is_refused(tmp_path: Path) -> None:
    import json

    from pc_ssl.engine.weights import NETWORK, write_tensors

    path, network = tmp_path / "w.safetensors", second(**PEER)
    tensors = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    for entry in ("{", "[]", json.dumps({"network": "os.system", "command": "true"})):
        write_tensors(path, tensors, {NETWORK: entry})
        with pytest.raises(UserError, match=r"w\.safetensors"):
            load_backbone(path, network)
    assert network_of(path, {}) is None


def test_the_allow_list_holds_numpys_numbers_and_nothing_else() -> None:
    from pc_ssl.interop.files import ALLOWED

    names = {f"{item.__module__}.{item.__name__}".replace("numpy._core", "numpy.core") for item in ALLOWED}
    assert names == {
        "numpy.dtype", "numpy.ndarray", "numpy.dtypes.Float32DType", "numpy.dtypes.Float64DType",
        "numpy.dtypes.Int32DType", "numpy.dtypes.Int64DType", "numpy.core.multiarray.scalar",
    }  # fmt: skip


def test_files_with_the_prefix_of_parallel_training_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    torch.save({"state_dict": {"module.a.weight": torch.ones(2), "module.b": torch.zeros(1)}}, file)
    assert set(read_checkpoint(file)) == {"a.weight", "b"}


def test_names_without_the_checkpoints_prefix_are_read_as_a_backbone_alone() -> None:
    from pc_ssl.interop import mmdet3d

    pair = pair_of(mmdet3d.MINKUNET_BACKBONE)
    assert pair is not None
    alone = {name.removeprefix("backbone."): value for name, value in pair.weights.items()}
    found, expected = (from_peer(mmdet3d.MINKUNET_BACKBONE, weights).tensors for weights in (alone, pair.weights))
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_run_starts_from_a_checkpoint_of_another_framework(tmp_path: Path) -> None:
    from pc_ssl.engine.initial import InitialWeights

    file = pcdet_checkpoint(tmp_path / "cbgs.pth")
    init = InitialWeights.parse([f"openpcdet:{file}"])
    assert str(init) == f"openpcdet:{file}"
    assert str(init.checksums()).startswith("openpcdet:")
    backbone = SECOND(GRID, 2, neck_channels=(16, 24), neck_layers=(3, 3), upsampled_channels=20, **PEER)
    (loaded,) = init.load(nn.ModuleDict({"backbone": backbone}), backbone)
    assert loaded.report.is_complete
    assert loaded.source["source"].startswith("cbgs.pth sha256 ")
    assert "intensity up to 255" in loaded.source["inputs"]
    expected = from_peer(openpcdet.VOXEL_RES_BACKBONE, read_checkpoint(file)).tensors
    assert torch.equal(backbone.stages[3].convolution.weight, expected["stages.3.convolution.weight"])

    other = SECOND(GRID, 2, neck_channels=(16, 24), neck_layers=(3, 3), upsampled_channels=20)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(UserError, match="other layers"):
        init.load(nn.ModuleDict({"backbone": other}), other)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    branch = BevEncoder(SECOND(GRID, 2, neck_channels=(16, 24), neck_layers=(3, 3), upsampled_channels=20, **PEER))
    assert init.load(branch, branch)[0].report.is_complete
    with pytest.raises(UserError, match="no equal in slidr"):
        InitialWeights.parse([f"slidr:{file}"]).load(branch, branch)
