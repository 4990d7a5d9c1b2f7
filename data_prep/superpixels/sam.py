"""Superpixels by a model of the Segment Anything family.

Kirillov et al., "Segment Anything", ICCV 2023, and Ravi et al., "SAM 2", 2024: the model is prompted with a grid of
points. Masks with a high predicted IoU that are stable under a change of threshold are kept, after non-maximum
suppression of their boxes, with the paper's parameters. A pixel in several masks belongs to the smallest; it is -1
without a mask. Masks are scored at the model's output resolution, a quarter of its input.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pc_ssl.pretrained import check_folder, load_model

if TYPE_CHECKING:
    from torch import Tensor

CLASS_OF_TYPE = {"sam": "SamModel", "sam2": "Sam2Model"}
MEAN = (0.485, 0.456, 0.406)  # of ImageNet, for pixels in [0, 1]; both models use it
DEVIATION = (0.229, 0.224, 0.225)
STABILITY_OFFSET = 1.0  # to either side of the masks' threshold 0, in logits
POINTS_AT_ONCE = 64  # prompts per batch of the mask decoder, which bounds memory


@dataclass(frozen=True)
class SamSuperpixels:
    """All objects that the model segments in an image.

    Args:
        folder: of a SamModel or Sam2Model, as transformers' save_pretrained writes it.
        points_per_side: of the grid of prompts.
        least_iou: smallest predicted intersection over union of a mask with its object.
        least_stability: smallest intersection over union of the masks at a higher and at a lower threshold.
        most_overlap: largest intersection over union of the boxes of two kept masks.

    Raises:
        UserError: the folder does not hold such a model.
    """

    tensor: ClassVar[str] = "superpixel"
    folder: str
    points_per_side: int = 32
    least_iou: float = 0.88
    least_stability: float = 0.95
    most_overlap: float = 0.7

    def __post_init__(self) -> None:
        check_folder(self.folder, tuple(CLASS_OF_TYPE))

    def __call__(self, image: NDArray[np.uint8], name: str) -> NDArray[np.int32]:
        """image [H, W, 3] sRGB; the name is not used -> [H, W] int32, 0..S - 1 without gaps, -1 none.

        Raises:
            UserError: the model cannot be loaded.
        """
        import torch

        kind = json.loads((Path(self.folder) / "config.json").read_text())["model_type"]
        model = load_model(self.folder, CLASS_OF_TYPE[kind])
        with torch.inference_mode():
            pixels, inside = _model_input(
                image, model.config.prompt_encoder_config.image_size, keep_aspect=kind == "sam"
            )
            mask, score = self._confident_masks(model, pixels, inside)
            kept = non_maximum_suppression(boxes_of(mask > 0), score, self.most_overlap)
            return _painted(mask[kept], inside, (image.shape[0], image.shape[1]), pixels.shape[-1])

    def _confident_masks(self, model: Any, pixels: Tensor, inside: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Logits [M, h, w] of the confident and stable masks over the model's input, and their scores [M]."""
        import torch

        embeddings = model.get_image_embeddings(pixels.to(model.device))
        ticks = (torch.arange(self.points_per_side) + 0.5) / self.points_per_side
        y, x = torch.meshgrid(ticks * inside[0], ticks * inside[1], indexing="ij")
        grid = torch.stack([x, y], dim=-1).reshape(-1, 1, 2).to(model.device)
        masks, scores = [], []
        for points in grid.split(POINTS_AT_ONCE):
            labels = torch.ones(points.shape[:2], dtype=torch.int64, device=points.device)
            answer = model(image_embeddings=embeddings, input_points=points[None], input_labels=labels[None])
            mask, score = answer.pred_masks[0].flatten(0, 1), answer.iou_scores[0].flatten()
            sure = (score >= self.least_iou) & (stability(mask) >= self.least_stability)
            masks.append(mask[sure].cpu())
            scores.append(score[sure].cpu())
        return torch.cat(masks), torch.cat(scores)


def _model_input(image: NDArray[np.uint8], side: int, *, keep_aspect: bool) -> tuple[Tensor, tuple[int, int]]:
    """Pixels [1, 3, side, side], and the number of rows and columns that the image covers.

    SAM scales the longer side and pads with zeros at the bottom or right; SAM 2 scales both sides.
    """
    import torch
    from torch.nn.functional import interpolate, pad

    height, width = image.shape[:2]
    scale = side / max(height, width)
    inside = (round(height * scale), round(width * scale)) if keep_aspect else (side, side)
    pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    pixels = interpolate(pixels, inside, mode="bilinear", align_corners=False, antialias=True)
    pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    return pad(pixels, (0, side - inside[1], 0, side - inside[0])), inside


def stability(mask: Tensor) -> Tensor:
    """[M]: stability score 0..1 of masks [M, h, w] (logits): IoU at two thresholds; 0 for empty masks."""
    strict = (mask > STABILITY_OFFSET).sum(dim=(1, 2))
    loose = (mask > -STABILITY_OFFSET).sum(dim=(1, 2))
    return strict / loose.clamp(min=1)


def boxes_of(mask: Tensor) -> Tensor:
    """Left, top, right, bottom [M, 4] of masks [M, h, w] bool, the last pixel included; zeros for empty masks."""
    import torch

    boxes = torch.zeros((len(mask), 4))
    for box, shape in zip(boxes, mask, strict=True):
        y, x = shape.any(dim=1).nonzero(), shape.any(dim=0).nonzero()
        if len(y):
            box[:] = torch.tensor([x[0, 0], y[0, 0], x[-1, 0] + 1, y[-1, 0] + 1])
    return boxes


def non_maximum_suppression(box: Tensor, score: Tensor, most_overlap: float) -> Tensor:
    """Rows of the boxes [M, 4] whose IoU with kept boxes of a higher score [M] is at most `most_overlap`."""
    import torch

    order = torch.argsort(score, descending=True, stable=True)
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    kept: list[int] = []
    for row in order.tolist():
        if kept:
            corner = torch.maximum(box[kept, :2], box[row, :2])
            size = (torch.minimum(box[kept, 2:], box[row, 2:]) - corner).clamp(min=0)
            shared = size[:, 0] * size[:, 1]
            if bool((shared > most_overlap * (area[kept] + area[row] - shared)).any()):
                continue
        kept.append(row)
    return torch.tensor(kept, dtype=torch.int64)


def _painted(mask: Tensor, inside: tuple[int, int], size: tuple[int, int], side: int) -> NDArray[np.int32]:
    """Label map [H, W] of masks [M, h, w] (logits), painted from large to small, so that small masks are on top."""
    from torch.nn.functional import interpolate

    label = np.full(size, -1, np.int64)
    for number in (mask > 0).sum(dim=(1, 2)).argsort(descending=True, stable=True).tolist():
        full = interpolate(mask[number][None, None].float(), (side, side), mode="bilinear", align_corners=False)
        full = interpolate(full[:, :, : inside[0], : inside[1]], size, mode="bilinear", align_corners=False)
        label[(full[0, 0] > 0).numpy()] = number
    seen = np.unique(label[label >= 0])
    return np.where(label >= 0, np.searchsorted(seen, label), -1).astype(np.int32)
