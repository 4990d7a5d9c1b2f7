"""BEV map segmentation on a BEV encoder, trained end to end.

Liu et al., "BEVFusion: Multi-Task Multi-Sensor Fusion with Unified Bird's-Eye View Representation", ICRA 2023, Sec.
3.4: each class has a separate mask, as classes overlap (a crossing is drivable), with a focal loss. As in its code
(mit-han-lab/bevfusion, mmdet3d/models/heads/segm/vanilla.py): features are read bilinearly at the centres of the map's
cells, two convolutions follow, and the losses of the classes, each a mean over cells, are added. Focusing exponent 2,
and equal weights of cells of the class and others.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from pc_ssl.derived import BackboneChannels, MapCellSize, MapNames, MapReach
from pc_ssl.errors import UserError
from pc_ssl.losses.focal import sigmoid_focal
from pc_ssl.models.features import BevFeatures
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.structures import SensorBatch
from pc_ssl.taxonomies import NUSCENES
from pc_ssl.views.sensors import SensorViews


class BevMapHead(nn.Module):
    """Features of a BEV map to a mask of each map class.

    Args:
        in_channels: of the features.
        class_names: K classes, in the order of the recorded map.
        reach: the ground-truth map covers -reach..reach along x and y, metres.
        cell_size: of the ground-truth map, metres.
        hidden_channels: of the two convolutions; None: `in_channels`, as in BEVFusion.

    Raises:
        ValueError: 2 * reach is not a whole number of cells.
    """

    def __init__(
        self,
        in_channels: BackboneChannels,
        class_names: MapNames = NUSCENES.map_classes,
        reach: MapReach = 50.0,
        cell_size: MapCellSize = 0.5,
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.class_names = in_channels, class_names
        self.reach, self.cells = reach, round(2 * reach / cell_size)
        if abs(self.cells * cell_size - 2 * reach) > 1e-6:
            raise ValueError(f"BevMapHead: +-{reach} m is not a whole number of cells of {cell_size} m")
        hidden = in_channels if hidden_channels is None else hidden_channels
        self.classifier = nn.Sequential(
            *_block(in_channels, hidden), *_block(hidden, hidden), nn.Conv2d(hidden, len(class_names), 1)
        )

    def forward(self, features: BevFeatures) -> Tensor:
        """[B, K, cells, cells] logits: rows along y, columns along x. Outside the features' box the input is zero."""
        step = (torch.arange(self.cells, device=features.map.device) + 0.5) * (2 * self.reach / self.cells) - self.reach
        y, x = torch.meshgrid(step, step, indexing="ij")
        place = features.grid.normalized_xy(torch.stack([x, y], dim=2).reshape(-1, 2)).reshape(
            self.cells, self.cells, 2
        )
        place = place.to(features.map.dtype).expand(len(features.map), -1, -1, -1)
        return self.classifier(grid_sample(features.map, place, mode="bilinear", align_corners=False))


class MapTask(nn.Module):
    """A BEV encoder and a head that segments the map.

    Args:
        backbone: of LiDAR, cameras or both.
        head: takes the encoder's channels.
        views: training views with the map; with images where the encoder has a camera branch.
        class_balanced: whether frames are sampled so that nuScenes' ten classes of boxes occur equally often
            (`data/class_balance.py`), as BEVFusion trains its maps; read by the engine.

    Raises:
        ValueError: the head's channels are not the encoder's, or the views lack the map or images.
    """

    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self, backbone: BevEncoder, head: BevMapHead, views: SensorViews, class_balanced: bool = False
    ) -> None:
        super().__init__()
        if head.in_channels != backbone.out_channels:
            raise ValueError(
                f"MapTask: head.in_channels is {head.in_channels}, the backbone gives {backbone.out_channels}"
            )
        if not views.bev_map or (backbone.uses_cameras and views.images is None):
            raise ValueError("MapTask: views must give the map, and images to an encoder with a camera branch")
        self.backbone, self.head, self.views = backbone, head, views
        self.class_names, self.class_balanced = head.class_names, class_balanced

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss", the sum over the classes, and the loss of each class under its name; each a scalar.

        Cells that the ground-truth map does not cover are ignored.

        Raises:
            UserError: the grid or the classes of the ground-truth map are not those of the head.
        """
        assert batch.bev_map is not None
        mask, known = batch.bev_map.mask, batch.bev_map.known
        logit = self._logits(batch)
        if mask.shape != logit.shape:
            raise UserError(
                f"{batch.tokens[0]}: the map has {mask.shape[1]} classes of {mask.shape[2]} x {mask.shape[3]} cells, "
                f"the head {logit.shape[1]} of {logit.shape[2]} x {logit.shape[3]} (class_names, reach, cell_size)"
            )
        of_cell = torch.where(known[:, None], sigmoid_focal(logit, mask, alpha=-1.0), 0.0)
        of_class = of_cell.sum(dim=(0, 2, 3)) / known.sum().clamp(min=1)
        return {"loss": of_class.sum(), **dict(zip(self.class_names, of_class.detach(), strict=True))}

    @torch.no_grad()
    def predict(self, batch: SensorBatch) -> Tensor:
        """[B, K, cells, cells] float32 probability of each class, in the frame of the view; call it in eval mode."""
        return self._logits(batch).float().sigmoid()

    def _logits(self, batch: SensorBatch) -> Tensor:
        return self.head(self.backbone(batch.points, batch.cameras))


def _block(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
