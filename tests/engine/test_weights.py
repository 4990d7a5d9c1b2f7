import errno
from pathlib import Path

import pytest
import torch
from torch import nn

from pc_ssl.engine.weights import load_backbone, read_tensors, save_weights
from pc_ssl.errors import UserError


class Network(nn.Module):
    def __init__(self, width: int = 4, layers: int = 1, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)), nn.BatchNorm1d(width))
        self.head = nn.Linear(width, 2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, Network(seed=1), {"method": "toy"})
    return path


def test_a_backbone_comes_back_and_the_rest_is_left_alone(saved: Path) -> None:
    network, source = Network(seed=2), Network(seed=1)
    head = network.head.weight.clone()
    report = load_backbone(saved, network.backbone)
    for found, expected in zip(
        network.backbone.state_dict().values(), source.backbone.state_dict().values(), strict=True
    ):
        assert torch.equal(found, expected)
    assert torch.equal(network.head.weight, head)
    assert str(report) == f"{saved}: 7 of 7 backbone tensors match"
    assert report.is_complete
    assert report.detail() == ""


def test_every_tensor_and_the_metadata_are_in_the_file(saved: Path) -> None:
    tensors, metadata = read_tensors(saved)
    assert set(tensors) == set(Network().state_dict())
    assert metadata == {"method": "toy"}


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Network(width=6),
            r"weights\.safetensors: 1 of 7 backbone tensors match, 6 of another shape; these are the weights of "
            r"another backbone \(of another shape 0\.weight: \[4, 4\] in the file, \[6, 6\] in the network\)",
        ),
        (
            Network(layers=2),
            r"3 of 9 backbone tensors match, 5 missing, 3 unexpected, 1 of another shape.*missing 2\.w",
        ),
    ],
)
def test_weights_of_another_backbone_change_nothing(saved: Path, network: Network, message: str) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=message) as caught:
        load_backbone(saved, network.backbone)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_of_a_larger_backbone_are_refused(tmp_path: Path) -> None:
    larger = nn.ModuleDict({"backbone": nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))})
    save_weights(tmp_path / "larger.safetensors", larger, {})
    with pytest.raises(UserError, match=r"2 of 2 backbone tensors match, 2 unexpected.*unexpected 2\.bias"):
        load_backbone(tmp_path / "larger.safetensors", nn.Sequential(nn.Linear(2, 2)))


def test_a_file_without_a_backbone_is_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "head.safetensors", nn.ModuleDict({"head": nn.Linear(2, 2)}), {})
    with pytest.raises(UserError, match=r"holds no backbone.*it holds head\.bias, head\.weight"):
        load_backbone(tmp_path / "head.safetensors", nn.Linear(2, 2))


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(UserError, match=r"weights\.safetensors: not a whole safetensors file"):
        load_backbone(saved, Network().backbone)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.safetensors: no such file"):
        load_backbone(tmp_path / "none.safetensors", nn.Linear(2, 2))


def test_tied_tensors_are_saved_under_both_names(tmp_path: Path) -> None:
    tied = nn.ModuleDict({"backbone": nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))})
    tied["backbone"][1].weight = tied["backbone"][0].weight
    save_weights(tmp_path / "tied.safetensors", tied, {})
    tensors, _ = read_tensors(tmp_path / "tied.safetensors")
    assert torch.equal(tensors["backbone.0.weight"], tensors["backbone.1.weight"])


def test_a_full_disk_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"weights\.safetensors: no space left on the disk"):
        save_weights(saved, Network(seed=3), {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
