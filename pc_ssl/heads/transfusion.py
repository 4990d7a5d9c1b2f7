"""TransFusion-L: boxes from queries that start at the peaks of a heat map and attend to the whole BEV map once.

Bai et al., "TransFusion: Robust LiDAR-Camera Fusion for 3D Object Detection with Transformers", CVPR 2022, Sec.
3.2-3.4, the LiDAR half, which is also BEVFusion's head for one fused map. Sizes and weights are those of the reference
code as BEVFusion configures it (mit-han-lab/bevfusion, configs/nuscenes/det/transfusion): 200 queries, 128 channels, 8
attention heads, one decoder layer; matching costs 0.15 for the class, 0.25 for the distance and 0.25 for the overlap;
loss weights 1 for heat map and class, 0.25 for boxes, and 0.2 for velocity within them; no non-maximum suppression.

1. Queries: the P highest local maxima of a heat map over all classes; the feature of the cell plus an embedding of the
   class. In small classes (pedestrians, cones) every cell is a candidate.
2. Decoder layer: attention among the queries, then from the queries to all cells, with learned embeddings of their
   positions; each query then gives a code (`box_coding.py`), column and row counted from its cell, and class logits.
3. Loss: boxes and queries are matched one to one (Hungarian algorithm); focal loss of the classes, L1 of the matched
   codes, and penalty-reduced focal loss of the heat map.
4. Prediction: the class of the query, with the product of its probability and of the heat map's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pc_ssl.derived import BackboneChannels, BoxNames, SmallBoxNames
from pc_ssl.heads.attributes import NUSCENES_CLASSES
from pc_ssl.heads.box_coding import BoxTargets, MapCells, code_loss
from pc_ssl.heads.heat_map import INITIAL_BIAS, highest, local_maxima, target_heat_map
from pc_ssl.heads.suppression import CircleNms, KeepAll, RotatedNms, suppressed
from pc_ssl.losses.focal import gaussian_focal, sigmoid_focal
from pc_ssl.models.features import BevFeatures
from pc_ssl.ops import rotated_iou_3d
from pc_ssl.structures import Boxes3D
from pc_ssl.taxonomies import NUSCENES

PREDICTION_CHANNELS = 64  # between the two layers of each prediction
NO_MATCH = 1e6  # replaces a cost that is not finite


@dataclass(frozen=True)
class MatchingCost:
    """Cost of assigning a query to a ground-truth box.

    Args:
        kind: weight of the focal cost: loss as the box's class minus loss as another class.
        distance: weight of the L1 distance of the centres, as a share of the map's sides.
        overlap: weight of the intersection over union of the volumes, which is subtracted.
    """

    kind: float = 0.15
    distance: float = 0.25
    overlap: float = 0.25

    def __call__(self, logit: Tensor, code: Tensor, targets: BoxTargets, cells: MapCells) -> Tensor:
        """logit [P, C], code [P, CODE] of one frame, its M boxes -> [P, M]."""
        of_class = sigmoid_focal(logit, torch.ones_like(logit)) - sigmoid_focal(logit, torch.zeros_like(logit))
        sides = code.new_tensor([cells.columns, cells.rows])
        distance = torch.cdist(code[:, :2] / sides, targets.code[:, :2] / sides, p=1)
        overlap = rotated_iou_3d(cells.decode(code), targets.box)
        cost = self.kind * of_class[:, targets.label] + self.distance * distance - self.overlap * overlap
        return cost.nan_to_num(NO_MATCH, NO_MATCH, NO_MATCH)


@dataclass(frozen=True)
class QueryPredictions:
    """Predictions of P queries in B frames.

    Args:
        heat_map: [B, C, H, W] logits, from which the queries come.
        kind: [B, P] int64 class of each query.
        peak: [B, P] probability of the heat map at the query.
        logit: [B, P, C].
        code: [B, P, CODE].
        cells: of the map.
    """

    heat_map: Tensor
    kind: Tensor
    peak: Tensor
    logit: Tensor
    code: Tensor
    cells: MapCells


class TransFusionHead(nn.Module):
    """A BEV map to boxes.

    Args:
        in_channels: of the map.
        class_names: labels are indices into it.
        small_classes: those of `class_names` whose queries need not be local maxima.
        channels: of queries and keys.
        queries: P, number of predicted boxes per frame.
        attention_heads: of both attentions.
        hidden_channels: of the decoder layer's feed-forward network.
        dropout: in the decoder layer.
        suppression: see `suppression.py`; each class is a group.
        cost: of the matching.
        min_overlap: see `heat_map.gaussian_radius`.
        min_radius: of a Gaussian, cells.
        box_weight: of the L1 loss, relative to the focal losses.
        velocity_weight: of vx and vy within it.
        score_threshold: predictions with this score or less are dropped.

    Raises:
        ValueError: a small class is not among the classes, or the number of suppression distances does not match.
    """

    pooled: Tensor

    def __init__(
        self,
        in_channels: BackboneChannels,
        class_names: BoxNames = NUSCENES_CLASSES,
        small_classes: SmallBoxNames = NUSCENES.small_classes,
        channels: int = 128,
        queries: int = 200,
        attention_heads: int = 8,
        hidden_channels: int = 256,
        dropout: float = 0.1,
        suppression: RotatedNms | CircleNms | KeepAll = KeepAll(),  # noqa: B008 (frozen)
        cost: MatchingCost = MatchingCost(),
        min_overlap: float = 0.1,
        min_radius: int = 2,
        box_weight: float = 0.25,
        velocity_weight: float = 0.2,
        score_threshold: float = 0.0,
    ) -> None:
        super().__init__()
        if not set(small_classes) <= set(class_names):
            raise ValueError(f"TransFusionHead: small_classes {small_classes} must be among {class_names}")
        if isinstance(suppression, CircleNms) and len(suppression.distance) != len(class_names):
            raise ValueError(f"TransFusionHead: {len(suppression.distance)} distances for {len(class_names)} classes")
        self.in_channels, self.class_names, self.queries = in_channels, class_names, queries
        self.suppression, self.cost, self.score_threshold = suppression, cost, score_threshold
        self.min_overlap, self.min_radius = min_overlap, min_radius
        self.box_weight, self.velocity_weight = box_weight, velocity_weight
        pooled = torch.tensor([name not in small_classes for name in class_names])
        self.register_buffer("pooled", pooled[:, None, None], persistent=False)
        self.shared = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.heat_map = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            _with_bias(nn.Conv2d(channels, len(class_names), 3, padding=1), INITIAL_BIAS),
        )
        self.class_embedding = nn.Embedding(len(class_names), channels)
        self.decoder = DecoderLayer(channels, attention_heads, hidden_channels, dropout)
        self.predict_logit = _prediction(channels, len(class_names), INITIAL_BIAS)
        self.predict_code = nn.ModuleList(_prediction(channels, width) for width in (2, 1, 3, 2, 2))

    def forward(self, features: BevFeatures) -> QueryPredictions:
        """Queries and their predictions."""
        cells = MapCells.of(features)
        shared = self.shared(features.map)
        heat_map = self.heat_map(shared)
        probability = heat_map.detach().float().sigmoid()
        candidate = local_maxima(probability) | ~self.pooled
        peak, kind, cell = highest(torch.where(candidate, probability, 0.0), self.queries)
        keys = shared.flatten(2).transpose(1, 2)
        query = keys.gather(1, cell[:, :, None].expand(-1, -1, keys.shape[2])) + self.class_embedding(kind)
        position = _centres(cells, keys.device)
        at = position[cell]
        query = self.decoder(query, keys, at, position).flatten(0, 1)
        shape = (*cell.shape, -1)
        code = torch.cat([predict(query) for predict in self.predict_code], dim=1).float().reshape(shape)
        code = torch.cat([code[:, :, :2] + at, code[:, :, 2:]], dim=2)
        return QueryPredictions(heat_map, kind, peak, self.predict_logit(query).float().reshape(shape), code, cells)

    def loss(self, found: QueryPredictions, boxes: Sequence[Boxes3D]) -> dict[str, Tensor]:
        """ "loss" = "heat_map" + "class" + box_weight * "box"; each a scalar.

        Args:
            found: predicted for B frames.
            boxes: of these frames; those of other classes or off the map are ignored.
        """
        num_classes, cells = len(self.class_names), found.cells
        targets = BoxTargets.of(boxes, num_classes, cells)
        wanted = target_heat_map(targets, cells, len(boxes), num_classes, self.min_overlap, self.min_radius)
        heat_map = gaussian_focal(found.heat_map, wanted)
        frame, query, of_box = self._matched(found, targets)
        kind = torch.zeros_like(found.logit)
        kind[frame, query, targets.label[of_box]] = 1
        of_class = sigmoid_focal(found.logit, kind).sum() / max(len(frame), 1)
        box = code_loss(found.code[frame, query], targets.code[of_box], self.velocity_weight)
        return {
            "loss": heat_map + of_class + self.box_weight * box,
            "heat_map": heat_map.detach(),
            "class": of_class.detach(),
            "box": box.detach(),
        }

    @torch.no_grad()
    def decode(self, found: QueryPredictions) -> list[Boxes3D]:
        """The boxes of each frame, highest score first."""
        score = found.logit.gather(2, found.kind[:, :, None])[:, :, 0].sigmoid() * found.peak
        return [
            suppressed([(found.cells.decode(code), of_frame, kind, kind)], self.score_threshold, self.suppression)
            for code, of_frame, kind in zip(found.code, score, found.kind, strict=True)
        ]

    @torch.no_grad()
    def _matched(self, found: QueryPredictions, targets: BoxTargets) -> tuple[Tensor, Tensor, Tensor]:
        """Frame, query and row of `targets` of each match: three tensors [n] int64."""
        from scipy.optimize import linear_sum_assignment  # takes 0.8 s; only training with this head needs it

        matches = []
        for frame in range(len(found.code)):
            rows = (targets.frame == frame).nonzero()[:, 0]
            cost = self.cost(found.logit[frame], found.code[frame], targets[rows], found.cells)
            query, column = (torch.from_numpy(part).to(rows) for part in linear_sum_assignment(cost.cpu().numpy()))
            matches.append((torch.full_like(query, frame), query, rows[column]))
        frames, queries, boxes = (torch.cat(parts) for parts in zip(*matches, strict=True))
        return frames, queries, boxes


class DecoderLayer(nn.Module):
    """Attention among queries, attention to keys, and a feed-forward network, each with a residual and a norm after it.

    Positions are embedded by two layers and added to queries, keys and values, as in the reference code.

    Args:
        channels: of queries and keys.
        heads: of both attentions.
        hidden_channels: of the feed-forward network.
        dropout: probability, everywhere in the layer.
    """

    def __init__(self, channels: int, heads: int, hidden_channels: int, dropout: float) -> None:
        super().__init__()
        self.embed_query, self.embed_key = _position_embedding(channels), _position_embedding(channels)
        self.among = nn.MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.across = nn.MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.forward_network = nn.Sequential(
            nn.Linear(channels, hidden_channels), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_channels, channels)
        )
        self.dropout = nn.Dropout(dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))

    def forward(self, query: Tensor, key: Tensor, query_position: Tensor, key_position: Tensor) -> Tensor:
        """query [B, P, C] at query_position [B, P, 2], key [B, N, C] at key_position [N, 2] -> [B, P, C]."""
        with torch.autocast(query.device.type, enabled=False):  # bfloat16 does not resolve cells beyond the 128th
            of_query = self.embed_query(query_position.flatten(0, 1)).reshape(query.shape)
            key = key + self.embed_key(key_position)
        placed = query + of_query
        query = self.norms[0](query + self.dropout(self.among(placed, placed, placed, need_weights=False)[0]))
        looked = self.across(query + of_query, key, key, need_weights=False)[0]
        query = self.norms[1](query + self.dropout(looked))
        return self.norms[2](query + self.dropout(self.forward_network(query)))


def _position_embedding(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, channels), nn.BatchNorm1d(channels), nn.ReLU(), nn.Linear(channels, channels))


def _prediction(channels: int, out_channels: int, bias: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, PREDICTION_CHANNELS, bias=False),
        nn.BatchNorm1d(PREDICTION_CHANNELS),
        nn.ReLU(),
        _with_bias(nn.Linear(PREDICTION_CHANNELS, out_channels), bias),
    )


def _with_bias(layer: nn.Conv2d | nn.Linear, bias: float) -> nn.Module:
    assert layer.bias is not None
    nn.init.constant_(layer.bias, bias)
    return layer


def _centres(cells: MapCells, device: torch.device) -> Tensor:
    """[rows * columns, 2]: column and row of the centres of the cells, row by row."""
    row, column = torch.meshgrid(
        torch.arange(cells.rows, device=device), torch.arange(cells.columns, device=device), indexing="ij"
    )
    return torch.stack([column, row], dim=2).reshape(-1, 2) + 0.5
