"""CLIP as a frozen teacher: MaskCLIP's dense image features, and embeddings of class names.

Zhou et al., "Extract Free Dense Labels from CLIP", ECCV 2022, as CLIP2Scene (Chen et al., CVPR 2023) uses it: in the
last layer of CLIP's image encoder each patch keeps its own value instead of the attention-weighted mean,

    v = x + W_out W_value LN1(x),    feature = W_project LN_post(v + MLP(LN2(v))),

without the paper's key smoothing and prompt denoising, as in CLIP2Scene. A class is embedded as the mean over 85
prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.derived import LabelNames
from pc_ssl.errors import UserError
from pc_ssl.models.prompts import TEMPLATES
from pc_ssl.pretrained import check_folder, load_model

# Of the images that CLIP was trained on; red, green, blue in 0..1.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class MaskClip(nn.Module):
    """A frozen CLIP from a folder. Its weights are excluded from the state dict, which keeps checkpoints small.

    Args:
        folder: of a CLIPModel with a Vision Transformer and its tokenizer, as transformers' save_pretrained writes them
            (CLIP2Scene: openai/clip-vit-base-patch16).
        classes: names of the C classes to embed, "ignore" left out. Underscores are read as spaces.
        verbatim: the names that keep their underscores, as CLIP2Scene's code embeds
            "traffic_cone" and "other_flat" of nuScenes.

    Raises:
        UserError: the folder holds no such model, or it cannot be loaded.
    """

    text: Tensor

    def __init__(self, folder: str, classes: LabelNames, verbatim: tuple[str, ...] = ()) -> None:
        super().__init__()
        check_folder(folder, ("clip",))
        model = load_model(folder, "CLIPModel")
        self._holder = (model,)  # in a tuple, so that nn.Module does not register its tensors
        self.channels: int = model.config.projection_dim
        self.patch: int = model.config.vision_config.patch_size
        with torch.device("cpu"):  # real tensors, even where the enclosing network is built on "meta"
            spoken = [name if name in verbatim else name.replace("_", " ") for name in classes]
            text = class_embeddings(model, folder, spoken).cpu()
        self.register_buffer("text", text, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MaskClip:
        super()._apply(fn, recurse)
        self._holder[0]._apply(fn)
        return self

    @torch.no_grad()
    def forward(self, image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """Dense features of images.

        Args:
            image: [n, 3, H, W] normalised with `mean` and `std`; H and W multiples of the patch size.
            mean, std: of red, green, blue.

        Returns:
            [n, channels, H / patch, W / patch], of unit length along the channels.
        """
        return dense_features(self._holder[0], clip_pixels(image, mean, std))


def clip_pixels(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images [n, 3, H, W] normalised with `mean` and `std` -> normalised with CLIP's mean and standard deviation."""
    rgb = image * image.new_tensor(std)[:, None, None] + image.new_tensor(mean)[:, None, None]
    return (rgb - rgb.new_tensor(MEAN)[:, None, None]) / rgb.new_tensor(STD)[:, None, None]


def dense_features(model: Any, pixels: Tensor) -> Tensor:
    """MaskCLIP's feature of each patch.

    Args:
        model: CLIPModel.
        pixels: [n, 3, h, w], normalised as by `clip_pixels`, h and w multiples of the patch size.

    Returns:
        [n, C, h / patch, w / patch], of length 1 along C, in the space of the text embeddings.
    """
    vision, patch = model.vision_model, model.config.vision_config.patch_size
    hidden = vision(pixels, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states
    x, last = hidden[-2], vision.encoder.layers[-1]  # input of the last layer
    v = x + last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(x)))
    v = v + last.mlp(last.layer_norm2(v))
    feature = model.visual_projection(vision.post_layernorm(v[:, 1:]))  # the first token is the class token
    feature = normalize(feature, dim=-1)
    return feature.transpose(1, 2).unflatten(2, (pixels.shape[2] // patch, pixels.shape[3] // patch))


@torch.no_grad()
def class_embeddings(model: Any, folder: str, classes: Sequence[str]) -> Tensor:
    """[C, D], of length 1: the mean over the templates of the embeddings of each class.

    Args:
        model: CLIPModel.
        folder: that holds its tokenizer.
        classes: C names, as inserted into the templates.

    Raises:
        UserError: the tokenizer cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: the tokenizer cannot be loaded ({str(error).splitlines()[0]})") from error
    embeddings = []
    for name in classes:
        sentences = [template.format(name) for template in TEMPLATES]
        tokens = tokenizer(sentences, padding=True, return_tensors="pt").to(model.device)
        embedding = model.text_projection(model.text_model(**tokens).pooler_output)
        embeddings.append(normalize(normalize(embedding, dim=-1).mean(dim=0), dim=0))
    return torch.stack(embeddings)
