"""Pseudo labels per pixel from CLIP, by MaskCLIP's dense features.

Zhou et al., "Extract Free Dense Labels from CLIP", ECCV 2022, as CLIP2Scene (Chen et al., CVPR 2023) labels images: in
the last layer of CLIP's image encoder each patch takes its own value instead of attention's mean of all,

    v = x + W_out W_value LN1(x),    feature = W_project LN_post(v + MLP(LN2(v))),

and gets the class whose text embedding, the mean over 85 prompts, has the largest cosine with it. Without the paper's
key smoothing and prompt denoising, as in CLIP2Scene.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from data_prep.superpixels.pretrained import check_folder, load_model
from data_prep.superpixels.prompts import TEMPLATES
from pc_ssl.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the images that CLIP was trained on, in [0, 1]
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ClipPseudoLabels:
    """Labels each pixel with the class that CLIP finds most like its patch.

    Args:
        folder: of a CLIPModel with a Vision Transformer and its tokenizer, as transformers' save_pretrained writes them
            (CLIP2Scene: openai/clip-vit-base-patch16).
        classes: names of the label classes; 0 is "ignore", which no pixel gets. Underscores are read as spaces.
        height: pixels; images are resized to it, and to the nearest whole number of patches along their width.

    Raises:
        UserError: no such model in the folder, or no classes.
    """

    tensor: ClassVar[str] = "pseudo_label"
    folder: str
    classes: tuple[str, ...]
    height: int = 224

    def __post_init__(self) -> None:
        check_folder(self.folder, ("clip",))
        if len(self.classes) < 2:
            raise UserError(f"clip:{self.folder}: the data set names no label classes to look for")

    def __call__(self, image: NDArray[np.uint8], name: str) -> NDArray[np.int32]:
        """image [H, W, 3] sRGB; its name has no influence -> [H, W] int32: 1..C - 1, index into `classes`.

        Raises:
            UserError: the model cannot be loaded.
        """
        import torch
        from torch.nn.functional import interpolate

        model = load_model(self.folder, "CLIPModel")
        text = _class_embeddings(self.folder, self.classes)
        with torch.inference_mode():
            feature = dense_features(model, self._pixels(image, model).to(text.device))
            similarity = torch.einsum("chw,kc->khw", feature, text)
            full = interpolate(similarity[None], image.shape[:2], mode="bilinear", align_corners=False)[0]
            return (full.argmax(dim=0) + 1).to(torch.int32).cpu().numpy()

    def _pixels(self, image: NDArray[np.uint8], model: Any) -> Tensor:
        """[1, 3, h, w] normalised, h and w whole numbers of patches."""
        import torch
        from torch.nn.functional import interpolate

        patch = model.config.vision_config.patch_size
        rows = max(1, round(self.height / patch))
        columns = max(1, round(rows * image.shape[1] / image.shape[0]))
        pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
        size = (rows * patch, columns * patch)
        pixels = interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]


def dense_features(model: Any, pixels: Tensor) -> Tensor:
    """MaskCLIP's feature of each patch.

    Args:
        model: CLIPModel.
        pixels: [1, 3, h, w], normalised, h and w multiples of the patch size.

    Returns:
        [C, h / patch, w / patch], of length 1 along C, in the space of the text embeddings.
    """
    vision, patch = model.vision_model, model.config.vision_config.patch_size
    hidden = vision(pixels, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states
    x, last = hidden[-2], vision.encoder.layers[-1]  # what goes into the last layer
    v = x + last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(x)))
    v = v + last.mlp(last.layer_norm2(v))
    feature = model.visual_projection(vision.post_layernorm(v[0, 1:]))  # the first token stands for the whole image
    feature = feature / feature.norm(dim=-1, keepdim=True)
    return feature.T.reshape(-1, pixels.shape[2] // patch, pixels.shape[3] // patch)


@functools.lru_cache(maxsize=1)  # the same for all images
def _class_embeddings(folder: str, classes: tuple[str, ...]) -> Tensor:
    """[C - 1, D], of length 1, of all classes but "ignore"."""
    import torch
    from transformers import AutoTokenizer

    model = load_model(folder, "CLIPModel")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: the tokenizer cannot be loaded ({str(error).splitlines()[0]})") from error
    embeddings = []
    with torch.inference_mode():
        for name in classes[1:]:
            sentences = [template.format(name.replace("_", " ")) for template in TEMPLATES]
            tokens = tokenizer(sentences, padding=True, return_tensors="pt").to(model.device)
            hidden = model.text_model(**tokens).pooler_output
            embedding = model.text_projection(hidden)
            mean = (embedding / embedding.norm(dim=-1, keepdim=True)).mean(dim=0)
            embeddings.append(mean / mean.norm())
    return torch.stack(embeddings)
