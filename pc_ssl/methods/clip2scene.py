"""CLIP2Scene: LiDAR features from the image and text embeddings of a frozen CLIP.

Chen et al., "CLIP2Scene: Towards Label-efficient 3D Scene Understanding by CLIP", CVPR 2023, Sec. 3 and 4.1. The
equations are the paper's (`losses/semantic_consistency.py`). The authors' released code computes others;
`Variant.RELEASED` reproduces it, for comparison.

1. View: K sweeps, registered by ego motion as preparation stores them, and the images of the keyframe; pairs of pixel
   and point for points of all sweeps. `DrawnSweeps` samples some of the sweeps of a cache, as the code does.
2. Forward: MaskCLIP gives each pixel a feature x and the text embedding t of the nearest class. Each sweep passes
   the backbone as a separate cloud (Sec. 4.1; merged sweeps are the paper's ablation of 18.6 against 20.8 mIoU), and
   two linear layers, one for each loss, map the point features to CLIP's space: p.
3. Loss: semantic consistency (Eq. 1, tau = 0.5) + spatial-temporal consistency (Eq. 2-4, lambda = 1) over the cells of
   one regular grid over all sweeps of a frame. After `switch_after` steps the class of a point is at random its
   pixel's or its own prediction.

Reconstructed: embeddings of unit length; the layer applied to pixel features before Eq. 2-4 is linear, initialised to
    the
identity and is trained (in the code it is random and frozen, and its output is not used).

The layer of the first loss, with the text embeddings, classifies points without annotation (`pc-ssl evaluate
--annotation-free`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.losses.monitors import collapse_monitors
from pc_ssl.losses.semantic_consistency import (
    class_cross_entropy,
    released_consistency,
    semantic_consistency,
    spatial_temporal_consistency,
)
from pc_ssl.models.clip import MaskClip
from pc_ssl.models.features import at_pixels
from pc_ssl.protocols import Backbone
from pc_ssl.structures import CameraBatch, PixelPairs, PointBatch, SensorBatch
from pc_ssl.views.camera import MEAN, STD
from pc_ssl.views.sensors import SensorViews

RELEASED_CELL_POINTS = 8  # points per cell in the released code


class Variant(StrEnum):
    """PAPER: Eq. 1-4.

    RELEASED: cross-entropy instead of Eq. 1; in Eq. 2-4 no image terms, the text of the first point of the cell for
        all its points, at most 8 points per cell, and a mean over all 8 slots of each cell; features are not
        normalised, and self-training uses the predicted classes of a whole batch at once.
    """

    PAPER = "paper"
    RELEASED = "released"


class CLIP2Scene(nn.Module):
    """Pretrains the LiDAR backbone `backbone` with a frozen CLIP.

    Args:
        backbone: LiDAR backbone with `out_channels`; K sweeps come from a cache prepared with `--sweeps K`.
        clip: the teacher.
        views: gives images and pairs; the images' sides are multiples of the teacher's patches.
        cell_size: edge of the cells of Eq. 2, metres; 0.1 in the code.
        temperature: tau of Eq. 1; 0.5 in the paper.
        attention_temperature: lambda of Eq. 3-4; 1 in the paper.
        semantic_weight, spatial_weight: weights of the two losses; 1 in the code.
        switch_after: steps before self-training begins (10 of 20 epochs in the paper, 11 in the code); None: never.
        switch_probability: probability that a point's own prediction is its class (`Variant.RELEASED`: that the
            predictions of all points of a batch are); 0.5 in the code.
        merge_sweeps: pass all sweeps of a frame through the backbone as one cloud: an ablation of the paper.
        variant: see `Variant`.

    Raises:
        ValueError: the views have no images or no pairs, the image sides are not multiples of the teacher's patch size,
            or an argument is out of range.
    """

    text: Tensor
    steps_done: Tensor
    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        clip: MaskClip,
        views: SensorViews,
        cell_size: float = 0.1,
        temperature: float = 0.5,
        attention_temperature: float = 1.0,
        semantic_weight: float = 1.0,
        spatial_weight: float = 1.0,
        switch_after: int | None = None,
        switch_probability: float = 0.5,
        merge_sweeps: bool = False,
        variant: str = Variant.PAPER,
    ) -> None:
        super().__init__()
        if views.images is None or not views.pairs:
            raise ValueError("CLIP2Scene: views must have images and pairs")
        if views.images.width % clip.patch or views.images.height % clip.patch:
            raise ValueError(
                f"CLIP2Scene: images of {views.images.width} x {views.images.height} are not a multiple of patches of "
                f"{clip.patch} pixels"
            )
        if cell_size <= 0 or temperature <= 0 or attention_temperature <= 0 or not 0 <= switch_probability <= 1:
            raise ValueError(
                f"CLIP2Scene: cell_size {cell_size}, temperature {temperature}, attention_temperature "
                f"{attention_temperature}, switch_probability {switch_probability}: out of range"
            )
        self.backbone, self.clip, self.views = backbone, clip, views
        self.semantic_layer = nn.Linear(backbone.out_channels, clip.channels)
        self.spatial_layer = nn.Linear(backbone.out_channels, clip.channels)
        self.variant, self.merge_sweeps = Variant(variant), merge_sweeps
        if self.variant is Variant.PAPER:
            self.image_layer = nn.Linear(clip.channels, clip.channels, bias=False)
            nn.init.eye_(self.image_layer.weight)
        self.register_buffer("text", clip.text.clone())
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))
        self.cell_size, self.temperature, self.attention_temperature = cell_size, temperature, attention_temperature
        self.semantic_weight, self.spatial_weight = semantic_weight, spatial_weight
        self.switch_after, self.switch_probability = switch_after, switch_probability

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss", its terms "semantic" and "spatial_temporal", the share of points whose predicted class is their
        pixel's ("agreement"), and `collapse_monitors`; each a scalar. A batch without pairs gives zeros."""
        assert batch.cameras is not None
        assert batch.pairs is not None
        image = self._pixel_features(batch.cameras, batch.pairs)
        feature = self._point_features(batch, batch.pairs.point)
        semantic, spatial = self.semantic_layer(feature).float(), self.spatial_layer(feature).float()
        if self.variant is Variant.PAPER:
            semantic, spatial = normalize(semantic, dim=1), normalize(spatial, dim=1)
        of_pixel = (image @ self.text.T).argmax(dim=1)
        of_point = (semantic.detach() @ self.text.T).argmax(dim=1)
        label = self._switched(of_pixel, of_point)
        cell, num_cells = self._cells(batch.points, batch.pairs.point)
        if self.variant is Variant.PAPER:
            first = semantic_consistency(semantic, label, self.text, self.temperature)
            pixel = normalize(self.image_layer(image).float(), dim=1)
            second = spatial_temporal_consistency(
                spatial, pixel, self.text[of_pixel], cell, num_cells, self.attention_temperature
            )
        else:
            first = class_cross_entropy(semantic, label, self.text)
            cell, leader = _released_cells(cell, num_cells)
            text = self.text[of_pixel[leader]]
            second = released_consistency(
                spatial, text, cell, num_cells, self.attention_temperature, RELEASED_CELL_POINTS
            )
        if self.training:
            self.steps_done += 1
        return {
            "loss": self.semantic_weight * first + self.spatial_weight * second,
            "semantic": first.detach(),
            "spatial_temporal": second.detach(),
            "agreement": (of_point == of_pixel).float().mean() if len(label) else first.detach() * 0,
            **collapse_monitors(normalize(semantic, dim=1), image),
        }

    def _point_features(self, batch: SensorBatch, rows: Tensor) -> Tensor:
        """[P, C] of the points in these rows; each sweep passes the backbone separately."""
        if self.merge_sweeps:
            return self.backbone(batch.points).at_points(batch.points, rows)
        clouds, row = batch.single_sweeps()
        return self.backbone(clouds).at_points(clouds, row[rows])

    def _pixel_features(self, cameras: CameraBatch, pairs: PixelPairs) -> Tensor:
        """[P, D] of unit length, float32: CLIP's feature of each pair's pixel, bilinear between patches."""
        image = cameras.image.flatten(0, 1)
        height, width = image.shape[2:]
        with torch.autocast(image.device.type, enabled=False):
            dense = self.clip(image, MEAN, STD)
        return normalize(at_pixels(dense, (height, width), pairs), dim=1)

    def _switched(self, of_pixel: Tensor, of_point: Tensor) -> Tensor:
        """Class of each point: its pixel's, or during self-training at random its own prediction."""
        if self.switch_after is None or int(self.steps_done) < self.switch_after:
            return of_pixel
        draws = 1 if self.variant is Variant.RELEASED else len(of_pixel)
        own = torch.rand(draws, device=of_pixel.device) < self.switch_probability
        return torch.where(own, of_point, of_pixel)

    def _cells(self, points: PointBatch, rows: Tensor) -> tuple[Tensor, int]:
        """Cell [P] of each point, numbered from 0 without gaps, and the number of cells."""
        place = torch.cat([points.frame_index()[rows, None], (points.xyz[rows] / self.cell_size).floor().long()], dim=1)
        unique, cell = torch.unique(place, dim=0, return_inverse=True)
        return cell, len(unique)


def _released_cells(cell: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    """Cells without their ninth and further points (-1), and the row of the first point of each point's cell."""
    order = cell.argsort(stable=True)
    count = torch.bincount(cell, minlength=num_cells)
    start = count.cumsum(0) - count
    rank = torch.empty_like(cell)
    rank[order] = torch.arange(len(cell), device=cell.device) - start[cell[order]]
    return torch.where(rank < RELEASED_CELL_POINTS, cell, -1), order[start[cell]] if len(cell) else cell
