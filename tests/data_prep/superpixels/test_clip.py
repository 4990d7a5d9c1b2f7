import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from data_prep.superpixels import image_generator
from data_prep.superpixels.clip import ClipPseudoLabels
from pc_ssl.errors import UserError
from pc_ssl.models.clip import dense_features
from pc_ssl.models.prompts import TEMPLATES
from pc_ssl.pretrained import load_model

CLASSES = ("ignore", "car", "traffic_cone", "vegetation")


def picture(height: int = 45, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_templates_are_the_80_of_imagenet_and_5_scenes() -> None:
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 85
    assert sum(template.endswith("in the scene.") for template in TEMPLATES) == 5
    assert all(template.count("{}") == 1 for template in TEMPLATES)
    for known in ("a photo of many {}.", "itap of my {}.", "the origami {}.", "a jpeg corrupted photo of the {}."):
        assert known in TEMPLATES


def test_the_last_layer_without_attention_is_maskclips(clip_folder: Path) -> None:
    """The reference: attention in which each patch only attends to itself, so that its output is its value."""
    model = load_model(str(clip_folder), "CLIPModel")
    pixels = torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    feature = dense_features(model, pixels)[0]
    assert feature.shape == (12, 2, 3)
    assert torch.allclose(feature.norm(dim=0), torch.ones(2, 3))

    class OwnValue(nn.Module):
        def __init__(self, attention: nn.Module) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor, None]:
            tokens = hidden_states.shape[1]
            alone = [self.attention(hidden_states[:, [i]], attention_mask=None)[0] for i in range(tokens)]
            return torch.cat(alone, dim=1), None

    last = model.vision_model.encoder.layers[-1]
    attention, last.self_attn = last.self_attn, OwnValue(last.self_attn)
    try:
        hidden = model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
    finally:
        last.self_attn = attention
    expected = model.visual_projection(model.vision_model.post_layernorm(hidden[0, 1:]))
    expected = expected / expected.norm(dim=-1, keepdim=True)
    assert torch.allclose(feature.flatten(1).T, expected, atol=1e-5)


def test_each_pixel_gets_the_class_closest_to_its_patch(clip_folder: Path) -> None:
    from transformers import CLIPTokenizer

    labels = ClipPseudoLabels(str(clip_folder), CLASSES, height=24)
    image = np.zeros((24, 48, 3), np.uint8)
    image[:, :24], image[:, 24:] = (200, 30, 60), (10, 90, 250)
    label = labels(image, "any")
    assert (label.shape, label.dtype) == ((24, 48), np.int32)
    assert label.min() >= 1
    assert label.max() <= 3

    model, tokenizer = load_model(str(clip_folder), "CLIPModel"), CLIPTokenizer.from_pretrained(clip_folder)
    text = []
    for name in ("car", "traffic cone", "vegetation"):
        tokens = [tokenizer(template.format(name), return_tensors="pt") for template in TEMPLATES]  # one by one
        each = [model.text_projection(model.text_model(**one).pooler_output)[0] for one in tokens]
        mean = torch.stack([one / one.norm() for one in each]).mean(dim=0)
        text.append(mean / mean.norm())
    feature = dense_features(model, labels._pixels(image, 8))[0]
    best = torch.einsum("chw,kc->khw", feature, torch.stack(text)).argmax(dim=0).numpy() + 1
    # at the centres of patches the interpolation weights of other patches are 0
    assert np.array_equal(label[4::8, 4::8], best)


def test_labels_are_the_same_each_time_and_as_large_as_the_image(clip_folder: Path) -> None:
    name, labels = image_generator(f"clip:{clip_folder}", CLASSES)
    assert (name, labels.tensor) == ("clip", "pseudo_label")
    first = labels(picture(), "a")
    assert first.shape == (45, 80)
    assert np.array_equal(first, labels(picture(), "b"))


def test_folders_without_a_clip_model_are_reported(clip_folder: Path, sam_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json: cannot be read"):
        ClipPseudoLabels(str(tmp_path), CLASSES)
    with pytest.raises(UserError, match="'model_type' is 'sam', expected clip"):
        ClipPseudoLabels(str(sam_folder), CLASSES)
    with pytest.raises(UserError, match="has no label classes"):
        ClipPseudoLabels(str(clip_folder), ("ignore",))
    copy = shutil.copytree(clip_folder, tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        ClipPseudoLabels(str(copy), CLASSES)
    (copy / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="the model cannot be loaded"):
        ClipPseudoLabels(str(copy), CLASSES)(picture(), "any")
    weights = load_file(clip_folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"the weights lack 'visual_projection\.weight'"):
        ClipPseudoLabels(str(copy), CLASSES)(picture(), "any")
    (copy / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="JSON object"):
        ClipPseudoLabels(str(copy), CLASSES)
