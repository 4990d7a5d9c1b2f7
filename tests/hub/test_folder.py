"""Published folders: what is written is what is loaded, and every mistake is one line."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pc_ssl
from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.engine.weights import read_tensors, save_weights, write_tensors
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.evaluation.segmentation import SegmentationResult
from pc_ssl.files import sha256_of
from pc_ssl.geometry import BevGrid
from pc_ssl.hub import ModelConfig
from pc_ssl.models import SECOND, PointPillars, SparseUNet
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.structures import PointBatch

GRID = BevGrid((-1.6, -1.6, -2.0), (1.6, 1.6, 2.0), (0.1, 0.1, 0.2))
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "second": lambda: SECOND(GRID, 1, (4, 4, 8, 8), (1, 1, 1, 1), (8,), (1,), 6, voxel_features="mean", norm_eps=1e-3),
    "pillars": lambda: PointPillars(GRID, 2, 8, (8, 8), (1, 1), 4, level=0, max_points=5),
    "unet": lambda: SparseUNet((0.1, 0.1, 0.1), 1, 8, (8, 8), (1, 1), (8, 8), (1, 1), stem_layers=1),
}
every_network = pytest.mark.parametrize("kind", NETWORKS)


def made(kind: str) -> nn.Module:
    torch.manual_seed(3)
    network = NETWORKS[kind]()
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def weights_of(path: Path, network: nn.Module, **metadata: str) -> Path:
    save_weights(path, nn.ModuleDict({"backbone": network}), {"method": "PRC", **metadata})
    return path


def cloud(network: nn.Module) -> torch.Tensor:
    points = torch.rand(400, 3 + network.point_features, generator=torch.Generator().manual_seed(0))
    points[:, :3] = points[:, :3] * 3 - 1.5
    return points


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@every_network
def test_a_loaded_network_gives_the_features_of_the_one_that_was_saved(tmp_path: Path, kind: str) -> None:
    network = made(kind)
    pc_ssl.save_pretrained(weights_of(tmp_path / "w.safetensors", network), tmp_path / "published")
    loaded = pc_ssl.load(tmp_path / "published")
    points = cloud(network)
    with torch.no_grad():
        batch = PointBatch.pack([points])
        expected = network(batch).at_points(batch)
    found = pc_ssl.point_features(loaded, points)
    assert not loaded.training
    assert float(expected.std()) > 0.01
    assert torch.equal(found, expected)
    assert {path.name for path in (tmp_path / "published").iterdir()} == {
        "model.safetensors", "config.json", "README.md",
    }  # fmt: skip


def test_a_run_its_name_and_its_weights_file_load_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = weights_of(tmp_path / "work_dirs" / "prc" / "weights.safetensors", made("unet"))
    monkeypatch.chdir(tmp_path)
    for source in ("prc", "work_dirs/prc", file):
        assert torch.equal(pc_ssl.load(source).state_dict()["stem.0.convolution.weight"],
                           made("unet").state_dict()["stem.0.convolution.weight"])  # fmt: skip


def test_of_a_fused_network_the_lidar_branch_is_published(tmp_path: Path) -> None:
    fused = BevEncoder(lidar=made("second"))
    pc_ssl.save_pretrained(weights_of(tmp_path / "w.safetensors", fused), tmp_path / "published")
    tensors, _ = read_tensors(tmp_path / "published" / "model.safetensors")
    assert set(tensors) == {f"backbone.{name}" for name in made("second").state_dict()}
    assert isinstance(pc_ssl.load(tmp_path / "published"), SECOND)


def test_points_outside_the_grid_have_zeros_and_other_columns_are_refused() -> None:
    network = made("second")
    assert pc_ssl.point_features(network, torch.full((3, 4), 50.0)).tolist() == [[0.0] * 6] * 3
    assert pc_ssl.point_features(network, torch.zeros(0, 4)).shape == (0, 6)
    with pytest.raises(UserError, match=r"\[3, 5\].*\[N, 4\]"):
        pc_ssl.point_features(network, torch.zeros(3, 5))


def drop(content: dict[str, Any], *keys: str) -> None:
    for key in keys[:-1]:
        content = content[key]
    del content[keys[-1]]


BAD_CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "of another library": (lambda c: c.update(library="timm"), "library"),
    "a later format": (lambda c: c.update(format=9), "9"),
    "no network": (lambda c: c.update(network=None), "network"),
    "a class of another module": (lambda c: c["network"].update(network="os.system"), "os.system"),
    "an unknown argument": (lambda c: c["network"].update(colour=3), "colour"),
    "an argument that is missing": (lambda c: drop(c, "network", "grid"), "grid"),
    "a grid without sizes": (lambda c: drop(c, "network", "grid", "upper"), "upper"),
    "a width of another type": (lambda c: c["network"].update(stage_channels="wide"), "SECOND"),
    "a negative width": (lambda c: c["network"].update(upsampled_channels=-4), "SECOND"),
    "a huge width": (lambda c: c["network"].update(upsampled_channels=10**9), "values"),
    "other layers of equal shape": (lambda c: c["network"].update(norm_eps=1e-5), "norm_eps"),
}


@pytest.mark.parametrize("mistake", BAD_CONFIGS)
def test_a_wrong_config_is_one_line(tmp_path: Path, mistake: str) -> None:
    change, named = BAD_CONFIGS[mistake]
    pc_ssl.save_pretrained(weights_of(tmp_path / "w.safetensors", made("second")), tmp_path / "published")
    edit(tmp_path / "published" / "config.json", change)
    with pytest.raises(UserError) as error:
        pc_ssl.load(tmp_path / "published")
    assert "published" in str(error.value)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_loading_is_strict(tmp_path: Path, change: str) -> None:
    pc_ssl.save_pretrained(weights_of(tmp_path / "w.safetensors", made("second")), tmp_path / "published")
    file = tmp_path / "published" / "model.safetensors"
    tensors, metadata = read_tensors(file)
    name = "backbone.neck.down.0.0.0.weight"
    value = tensors.pop(name)
    if change == "unexpected":
        tensors |= {name: value, "backbone.other": torch.zeros(2)}
    if change == "shape":
        tensors[name] = value.transpose(0, 1).contiguous()
    write_tensors(file, tensors, metadata)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        pc_ssl.load(tmp_path / "published")


def test_places_that_hold_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_tensors(tmp_path / "camera.safetensors", {"backbone.x": torch.zeros(1)}, {"method": "RAD"})
    for source, named in (("empty", r"config\.json"), ("../no such", "repository"), ("camera.safetensors", "describe")):
        with pytest.raises(UserError, match=named):
            pc_ssl.load(source)
    with pytest.raises(UserError, match="revision"):
        pc_ssl.load("empty", revision="v2")


def test_a_folder_with_files_is_left_as_it_is_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    weights = weights_of(tmp_path / "w.safetensors", made("unet"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="taken"):
        pc_ssl.save_pretrained(weights, tmp_path / "taken")
    with pytest.raises(UserError, match=r"result\.json"):
        pc_ssl.save_pretrained(weights, tmp_path / "new", results=[tmp_path / "taken"])
    assert {path.name for path in tmp_path.iterdir()} == {"w.safetensors", "taken"}
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]


def a_result() -> SegmentationResult:
    return SegmentationResult(("car", "road"), ((3, 1), (0, 4)), 2)


def test_the_card_states_method_data_frames_licences_and_results(tmp_path: Path, street_cache: Cache) -> None:
    checksum = sha256_of(street_cache.path / MANIFEST)
    weights = weights_of(tmp_path / "w.safetensors", made("unet"), cache=checksum, split="train")
    run = RunResult(
        settings={"command": "probe", "val_split": "val", "seed": 5},
        paths={"config": "demo/segmentation", "cache": "cache", "init": "w.safetensors"},
        scenes=("a",), num_train_frames=8, fit={}, result=a_result(), seconds={},
        initial=({"sha256": sha256_of(weights)},),
    )  # fmt: skip
    run.write(tmp_path / "probe")
    pc_ssl.save_pretrained(
        weights, tmp_path / "published", licence="CC-BY-NC-4.0", cache=street_cache, results=[tmp_path / "probe"]
    )
    card = (tmp_path / "published" / "README.md").read_text()
    frames = len(street_cache.indices("train"))
    for text in (
        'license: "cc-by-nc-4.0"', "made by PRC", f"frames used: {frames}, of 4 scenes", "x, y, z, intensity",
        "pc-ssl probe demo/segmentation --cache cache --init w.safetensors --seed 5", run.result.headline,
    ):  # fmt: skip
        assert text in card
    origin = ModelConfig.read(tmp_path / "published" / "config.json").origin
    assert origin["data"]["manifest_sha256"] == checksum
    assert origin["results"][0]["labelled_frames"] == 8


def test_data_and_results_of_other_weights_are_refused(tmp_path: Path, street_cache: Cache) -> None:
    weights = weights_of(tmp_path / "w.safetensors", made("unet"), cache="0" * 64, split="train")
    with pytest.raises(UserError, match="000000"):
        pc_ssl.save_pretrained(weights, tmp_path / "published", cache=street_cache)
    RunResult(
        settings={"command": "probe"}, paths={}, scenes=(), num_train_frames=8, fit={}, result=a_result(), seconds={},
        initial=({"sha256": "1" * 64},),
    ).write(tmp_path / "probe")  # fmt: skip
    with pytest.raises(UserError, match="111111"):
        pc_ssl.save_pretrained(weights, tmp_path / "published", results=[tmp_path / "probe"])


@dataclass
class Client:
    """Stands in for the hub's client."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def create_repo(self, repository: str, **options: Any) -> None:
        self.calls.append((repository, options))

    def upload_folder(self, **options: Any) -> str:
        self.calls.append(("upload", options))
        return "https://hub/commit/1"


def test_only_a_folder_that_loads_is_pushed_and_private_unless_asked(tmp_path: Path) -> None:
    client = Client()
    with pytest.raises(UserError, match="neither"):
        pc_ssl.push_to_hub(tmp_path, "me/prc", api=client)
    pc_ssl.save_pretrained(weights_of(tmp_path / "w.safetensors", made("unet")), tmp_path / "published")
    with pytest.raises(UserError, match="owner/name"):
        pc_ssl.push_to_hub(tmp_path / "published", "prc", api=client)
    assert client.calls == []
    assert pc_ssl.push_to_hub(tmp_path / "published", "me/prc", api=client) == "https://hub/commit/1"
    assert client.calls[0] == ("me/prc", {"private": True, "exist_ok": True})
    assert set(client.calls[1][1]["allow_patterns"]) == {"model.safetensors", "config.json", "README.md"}


def test_a_repository_is_downloaded_at_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pc_ssl.save_pretrained(weights_of(tmp_path / "w.safetensors", made("unet")), tmp_path / "published")
    asked = []

    def download(repository: str, **options: Any) -> str:
        asked.append((repository, options["revision"]))
        return str(tmp_path / "published")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert isinstance(pc_ssl.load("me/prc", revision="v1"), SparseUNet)
    assert asked == [("me/prc", "v1")]
    monkeypatch.setattr("huggingface_hub.snapshot_download", failing)
    with pytest.raises(UserError, match=r"me/prc.*offline"):
        pc_ssl.load("me/prc")


def failing(repository: str, **options: Any) -> str:
    raise OSError("offline")


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="pretend"):
        pc_ssl.pretend  # noqa: B018
