from pathlib import Path

import pytest
import torch
from torch import nn

from pc_ssl.errors import UserError
from pc_ssl.models.camera import PixelFeatures, PretrainedBackbone, RandomResNet


@pytest.fixture(scope="module", params=["resnet", "swin", "convnext", "dinov2"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A tiny network of each family that gives stages 2, 3 and 4, and where `save_pretrained` wrote it."""
    from transformers import AutoBackbone, ConvNextConfig, Dinov2Config, ResNetConfig, SwinConfig

    config = {
        "resnet": lambda: ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1] * 4, layer_type="basic"
        ),
        "swin": lambda: SwinConfig(image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1, 2, 2, 2], window_size=4),
        "convnext": lambda: ConvNextConfig(hidden_sizes=[8, 12, 16, 24], depths=[1] * 4),
        "dinov2": lambda: Dinov2Config(
            hidden_size=16, num_hidden_layers=4, num_attention_heads=2, patch_size=14, image_size=70
        ),
    }[request.param]()
    config.out_indices = [2, 3, 4]
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("images") / request.param
    model = AutoBackbone.from_config(config).eval()
    model.save_pretrained(path)
    return path, model


def test_every_family_is_read_back(saved: tuple[Path, nn.Module], capsys: pytest.CaptureFixture) -> None:
    folder, model = saved
    backbone = PretrainedBackbone(str(folder), (2, 3)).eval()
    image = torch.randn(2, 3, 70, 140)
    maps = backbone(image)
    expected = model(image).feature_maps[:2]
    assert [one.shape[1] for one in maps] == list(backbone.channels)
    for one, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert "tensors of the image backbone match" in capsys.readouterr().out


def test_a_frozen_network_does_not_change(saved: tuple[Path, nn.Module]) -> None:
    backbone = PretrainedBackbone(str(saved[0]), (2, 3), frozen=True).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    layer = PixelFeatures(backbone, 4).train()
    layer(torch.randn(2, 3, 56, 56)).sum().backward()
    assert all(p.grad is None for p in backbone.parameters())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(p.grad is not None for p in layer.layer.parameters())


@pytest.mark.parametrize("stages", [(2, 3, 4), (2, 3)])
def test_whatever_is_trained_gets_a_gradient(saved: tuple[Path, nn.Module], stages: tuple[int, ...]) -> None:
    """Processes that train together wait for that of each parameter; Swin has a last norm that no map goes through."""
    backbone = PretrainedBackbone(str(saved[0]), stages)
    sum(one.square().sum() for one in backbone(torch.randn(2, 3, 70, 70))).backward()
    missing = [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert sum(p.grad is not None for p in backbone.parameters()) > 10


def test_a_frozen_network_of_random_weights_has_nothing_to_train() -> None:
    backbone = RandomResNet((8, 12), (1, 1), 8, bottleneck=False, stages=(1, 2), frozen=True).train()
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not any(module.training for module in backbone.model.modules())


def test_pixel_features_have_the_size_of_the_finest_stage() -> None:
    backbone = RandomResNet((8, 12, 16), (1, 1, 1), 8, bottleneck=False, stages=(1, 2, 3))
    assert PixelFeatures(backbone, 5)(torch.zeros(2, 3, 64, 96)).shape == (2, 5, 16, 24)
    assert PixelFeatures(backbone, None)(torch.zeros(1, 3, 64, 96)).shape == (1, 36, 16, 24)


def test_resnet_has_the_published_size() -> None:
    with torch.device("meta"):
        backbone = RandomResNet()
    assert backbone.channels == (512, 1024, 2048)
    assert 23_000_000 < sum(p.numel() for p in backbone.parameters()) < 24_000_000  # ResNet-50 without its classifier


def test_a_folder_or_name_without_a_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.safetensors"):
        PretrainedBackbone(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be loaded"):
        PretrainedBackbone(str(tmp_path))


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    RandomResNet((8, 12), (1, 1), 8, bottleneck=False, stages=(1, 2)).model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = next(name for name in tensors if name.endswith("convolution.weight"))
    del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="missing or of another shape"):
        PretrainedBackbone(str(tmp_path), (1, 2))
