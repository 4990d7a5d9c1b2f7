"""Pseudo labels per pixel from CLIP with MaskCLIP's dense features (`pc_ssl/models/clip.py`).

As in CLIP2Scene (Chen et al., CVPR 2023), each pixel gets the class whose text embedding has the largest cosine
similarity with the feature of its patch.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from pc_ssl.errors import UserError
from pc_ssl.pretrained import check_folder, load_model

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClipPseudoLabels:
    """Labels each pixel with the class most similar to its patch according to CLIP.

    Args:
        folder: of a CLIPModel with a Vision Transformer and its tokenizer, as transformers' save_pretrained writes them
            (CLIP2Scene: openai/clip-vit-base-patch16).
        classes: names of the label classes; 0 is "ignore", which is never predicted. Underscores are read as spaces.
        height: pixels; images are resized to it, and to the nearest whole number of patches along their width.

    Raises:
        UserError: the folder does not hold such a model, or there are no classes.
    """

    tensor: ClassVar[str] = "pseudo_label"
    folder: str
    classes: tuple[str, ...]
    height: int = 224

    def __post_init__(self) -> None:
        check_folder(self.folder, ("clip",))
        if len(self.classes) < 2:
            raise UserError(f"clip:{self.folder}: the data set has no label classes, expected at least one")

    def __call__(self, image: NDArray[np.uint8], name: str) -> NDArray[np.int32]:
        """image [H, W, 3] sRGB; the name is not used -> [H, W] int32: 1..C - 1, index into `classes`.

        Raises:
            UserError: the model cannot be loaded.
        """
        import torch
        from torch.nn.functional import interpolate

        from pc_ssl.models.clip import dense_features

        model = load_model(self.folder, "CLIPModel")
        text = _text(self.folder, self.classes)
        with torch.inference_mode():
            pixels = self._pixels(image, model.config.vision_config.patch_size).to(text.device)
            feature = dense_features(model, pixels)[0]
            similarity = torch.einsum("chw,kc->khw", feature, text)
            full = interpolate(similarity[None], image.shape[:2], mode="bilinear", align_corners=False)[0]
            return (full.argmax(dim=0) + 1).to(torch.int32).cpu().numpy()

    def _pixels(self, image: NDArray[np.uint8], patch: int) -> Tensor:
        """[1, 3, h, w] normalised, h and w whole numbers of patches."""
        import torch
        from torch.nn.functional import interpolate

        from pc_ssl.models.clip import MEAN, STD

        rows = max(1, round(self.height / patch))
        columns = max(1, round(rows * image.shape[1] / image.shape[0]))
        pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
        size = (rows * patch, columns * patch)
        pixels = interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


@functools.lru_cache(maxsize=1)  # the same for all images
def _text(folder: str, classes: tuple[str, ...]) -> Tensor:
    """[C - 1, D]: all classes but "ignore"."""
    from pc_ssl.models.clip import class_embeddings

    spoken = [name.replace("_", " ") for name in classes[1:]]
    return class_embeddings(load_model(folder, "CLIPModel"), folder, spoken)
