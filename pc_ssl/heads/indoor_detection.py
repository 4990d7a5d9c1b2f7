"""Anchor-free detection of objects in rooms, on features of points.

The family of FCAF3D (Rukhovich, Vorontsova, Konushin, "FCAF3D: Fully Convolutional Anchor-Free 3D Object Detection",
ECCV 2022): locations of several sizes each predict the distances to the six faces of a box along the axes, its class,
and its centerness. Rotated boxes are enclosed by boxes along the axes.

Locations are reconstructed. FCAF3D makes them by generative sparse convolutions of its own neck, so that some are
inside objects, of which only surfaces are scanned. Here they are the occupied cells of a grid, whose features are the
means of the point features of any backbone, so that a pretrained one can be used unchanged, and the empty cells in the
occupied cells of the next coarser level, with the feature of that cell and a learned function of their place in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pc_ssl.derived import BoxNames
from pc_ssl.losses.focal import sigmoid_focal
from pc_ssl.ops import region_pool
from pc_ssl.protocols import Backbone
from pc_ssl.structures import Boxes3D, PointBatch, SensorBatch
from pc_ssl.views.sensors import SensorViews

LOCATIONS_FOR_LEVEL = 27  # a box belongs to the coarsest level that has this many locations in it (FCAF3D, Sec. 3.2)
POSITIVES = 18  # positive locations of a box: those of highest centerness (FCAF3D, Sec. 3.2)
CANDIDATES = 1000  # locations of highest score that are decoded at each level
SCORE_THRESHOLD = 0.01
OVERLAP_THRESHOLD = 0.5  # of boxes of one class; the one of lower score is dropped


@dataclass(frozen=True)
class Locations:
    """Where boxes are predicted, in all levels, level by level.

    Args:
        feature: [L, C].
        place: [L, 3] metres: the mean of the points of each cell, the centre of an empty one.
        frame: [L] int64.
        level: [L] int64.
    """

    feature: Tensor
    place: Tensor
    frame: Tensor
    level: Tensor


@dataclass(frozen=True)
class _Cells:
    """Cells of one level.

    Args:
        cell: [V, 4] int64: frame, then index along x, y, z.
        feature: [V, C].
        place: [V, 3] metres.
        offset: [V, 3] metres, from the `place` of the coarser cell that the feature belongs to; 0 in occupied cells.
    """

    cell: Tensor
    feature: Tensor
    place: Tensor
    offset: Tensor


class IndoorDetectionTask(nn.Module):
    """Boxes of a room on top of a pretrained backbone.

    Args:
        backbone: LiDAR backbone with `out_channels`; its features are read at every point.
        views: with boxes; rotations other than multiples of 90 degrees enlarge the axis-aligned boxes.
        class_names: of the boxes, in the order of the cache.
        level_sizes: edges of the cells of each level, metres, from fine to coarse, each a whole multiple of the one
            before; FCAF3D has 0.08, 0.16, 0.32, 0.64.
        hidden_channels: of the head.

    Raises:
        ValueError: the views have no boxes, or each size is not a larger multiple of the one before.
    """

    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        views: SensorViews,
        class_names: BoxNames,
        level_sizes: Sequence[float] = (0.08, 0.16, 0.32, 0.64),
        hidden_channels: int = 128,
    ) -> None:
        super().__init__()
        ratios = [coarse / fine for fine, coarse in pairwise(level_sizes)]
        self._ratios = tuple(round(ratio) for ratio in ratios)
        whole = all(abs(ratio - count) < 1e-6 and count > 1 for ratio, count in zip(ratios, self._ratios, strict=True))
        if not views.boxes or not whole or min(level_sizes) <= 0:
            raise ValueError(
                "IndoorDetectionTask: needs views with boxes, and rising level_sizes, each a multiple of the one "
                f"before, got {level_sizes}"
            )
        self.backbone, self.views = backbone, views
        self.class_names, self.level_sizes = tuple(class_names), tuple(level_sizes)
        self.head = nn.ModuleDict(
            {
                "offset": nn.Linear(3, backbone.out_channels, bias=False),
                "shared": nn.Sequential(
                    nn.Linear(backbone.out_channels, hidden_channels, bias=False),
                    nn.BatchNorm1d(hidden_channels),
                    nn.ReLU(),
                ),
                "classes": nn.Linear(hidden_channels, len(class_names)),
                "centerness": nn.Linear(hidden_channels, 1),
                "faces": nn.Linear(hidden_channels, 6),
                "scale": nn.Embedding(len(level_sizes), 1),
            }
        )
        classes = self.head["classes"]
        assert isinstance(classes, nn.Linear)
        nn.init.constant_(classes.bias, -4.6)  # an initial probability of 0.01, as focal loss prescribes
        scale = self.head["scale"]
        assert isinstance(scale, nn.Embedding)
        nn.init.zeros_(scale.weight)

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss", the sum of "focal", "centerness" and "overlap".

        The first two are means over the positive locations; "overlap" is the mean of 1 - IoU weighted by the target
        of centerness, as FCAF3D's code weights it.
        """
        assert batch.boxes is not None
        locations = self.locations(batch.points)
        logit, centerness, faces = self._predict(locations)
        owner = [
            _assign(locations, frame, along_axes(boxes.box), len(self.level_sizes))
            for frame, boxes in enumerate(batch.boxes)
        ]
        target = torch.zeros_like(logit)
        extents, places = [], []
        for rows, chosen, boxes in ((*pair, boxes) for pair, boxes in zip(owner, batch.boxes, strict=True)):
            target[rows, boxes.label[chosen]] = 1
            places.append(rows)
            extents.append(along_axes(boxes.box)[chosen])
        row, extent = torch.cat(places), torch.cat(extents)
        count = max(len(row), 1)
        distance = _distances(locations.place[row], extent)
        focal = sigmoid_focal(logit, target).sum() / count
        weight = _centerness(distance)
        central = binary_cross_entropy_with_logits(centerness[row], weight, reduction="sum") / count
        overlap = (weight * (1 - _overlap_of_distances(faces[row], distance))).sum() / weight.sum().clamp(min=1e-6)
        return {
            "loss": focal + central + overlap,
            "focal": focal.detach(),
            "centerness": central.detach(),
            "overlap": overlap.detach(),
        }

    def locations(self, points: PointBatch) -> Locations:
        """The occupied cells of each level, and the empty ones in the occupied cells of the next coarser level."""
        feature = self.backbone(points).at_points(points)
        frame = points.frame_index()
        levels = [_occupied(points, feature, frame, size) for size in self.level_sizes]
        parts: list[tuple[Tensor, ...]] = []
        for level, cells in enumerate(levels):
            if level + 1 < len(levels):
                cells = _with_empty(cells, levels[level + 1], self.level_sizes[level], self._ratios[level])
            feature = cells.feature + self.head["offset"](cells.offset / self.level_sizes[level])
            parts.append((feature, cells.place, cells.cell[:, 0], torch.full_like(cells.cell[:, 0], level)))
        return Locations(*(torch.cat(column) for column in zip(*parts, strict=True)))

    @torch.no_grad()
    def predict(self, batch: SensorBatch) -> list[Boxes3D]:
        """Boxes of each frame by descending score, along the axes (yaw 0), velocity 0; call it in eval mode."""
        locations = self.locations(batch.points)
        logit, centerness, faces = self._predict(locations)
        score = logit.sigmoid() * centerness.sigmoid()[:, None]
        return [
            self._decoded(locations.place[rows], faces[rows], score[rows])
            for rows in (_candidates(locations, score, frame, self.level_sizes) for frame in range(batch.num_frames))
        ]

    def _predict(self, locations: Locations) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [L, K] of classes and [L] of centerness, and positive distances [L, 6] to faces in metres; float32."""
        hidden = self.head["shared"](locations.feature)
        size = torch.tensor(self.level_sizes, device=hidden.device)[locations.level, None]
        scale = self.head["scale"](locations.level).float()
        faces = (self.head["faces"](hidden).float() + scale).clamp(max=8).exp() * size
        return self.head["classes"](hidden).float(), self.head["centerness"](hidden).float()[:, 0], faces

    def _decoded(self, place: Tensor, faces: Tensor, score: Tensor) -> Boxes3D:
        """Boxes of every class whose score passes the threshold, suppressed class by class."""
        extent = torch.cat([place - faces[:, :3], place + faces[:, 3:]], dim=1)
        rows, labels = [], []
        for number, of_class in enumerate(score.T):
            order = of_class.argsort(descending=True, stable=True)
            order = order[of_class[order] > SCORE_THRESHOLD]
            kept = order[suppress(extent[order])]
            rows.append(kept)
            labels.append(torch.full_like(kept, number))
        row, label = torch.cat(rows), torch.cat(labels)
        found = score[row, label]
        order = found.argsort(descending=True, stable=True)
        row, label = row[order], label[order]
        box = torch.zeros(len(row), 9, device=place.device)
        box[:, :3] = (extent[row, :3] + extent[row, 3:]) / 2
        box[:, 3:6] = extent[row, 3:] - extent[row, :3]
        return Boxes3D(box, label, score=found[order])


def _occupied(points: PointBatch, feature: Tensor, frame: Tensor, size: float) -> _Cells:
    cell = torch.cat([frame[:, None], (points.xyz / size).floor().long()], dim=1)
    unique, number = torch.unique(cell, dim=0, return_inverse=True)
    count = len(unique)
    place = region_pool(points.xyz, number, count)
    return _Cells(unique, region_pool(feature, number, count), place, torch.zeros_like(place))


def _with_empty(cells: _Cells, coarser: _Cells, size: float, ratio: int) -> _Cells:
    """The cells, followed by the empty cells of their level inside the occupied cells of the coarser one."""
    steps = torch.arange(ratio, device=cells.cell.device)
    offset = torch.cartesian_prod(steps, steps, steps)
    index = (coarser.cell[:, None, 1:] * ratio + offset).flatten(0, 1)
    parent = torch.arange(len(coarser.cell), device=index.device).repeat_interleave(len(offset))
    children = torch.cat([coarser.cell[parent, :1], index], dim=1)
    _, number = torch.unique(torch.cat([cells.cell, children]), dim=0, return_inverse=True)
    occupied = torch.zeros(int(number.max()) + 1, dtype=torch.bool, device=number.device)
    occupied[number[: len(cells.cell)]] = True
    empty = ~occupied[number[len(cells.cell) :]]
    parent, place = parent[empty], (index[empty] + 0.5).to(cells.place.dtype) * size
    return _Cells(
        cell=torch.cat([cells.cell, children[empty]]),
        feature=torch.cat([cells.feature, coarser.feature[parent]]),
        place=torch.cat([cells.place, place]),
        offset=torch.cat([cells.offset, place - coarser.place[parent]]),
    )


def along_axes(box: Tensor) -> Tensor:
    """Lower and upper corner [M, 6] of the boxes along the axes that enclose the boxes [M, 9]."""
    cos, sin = box[:, 6].cos().abs(), box[:, 6].sin().abs()
    length, width = box[:, 3], box[:, 4]
    half = torch.stack([length * cos + width * sin, length * sin + width * cos, box[:, 5]], dim=1) / 2
    return torch.cat([box[:, :3] - half, box[:, :3] + half], dim=1)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """IoU [N, M] of boxes along the axes [N, 6] and [M, 6], lower and upper corners."""
    low = torch.maximum(first[:, None, :3], second[None, :, :3])
    high = torch.minimum(first[:, None, 3:], second[None, :, 3:])
    common = (high - low).clamp(min=0).prod(dim=2)
    volume = [(extent[:, 3:] - extent[:, :3]).prod(dim=1) for extent in (first, second)]
    return common / (volume[0][:, None] + volume[1][None] - common).clamp(min=1e-9)


def suppress(extent: Tensor) -> Tensor:
    """Rows [k] of the boxes [M, 6], sorted by descending score, not suppressed by a box of higher score."""
    alive = torch.ones(len(extent), dtype=torch.bool, device=extent.device)
    kept = []
    while bool(alive.any()):
        best = int(alive.int().argmax())
        kept.append(best)
        alive &= overlaps(extent[best : best + 1], extent)[0] <= OVERLAP_THRESHOLD
        alive[best] = False
    return torch.tensor(kept, dtype=torch.long, device=extent.device)


def _candidates(locations: Locations, score: Tensor, frame: int, level_sizes: Sequence[float]) -> Tensor:
    """Rows of a frame's locations: of each level the `CANDIDATES` whose best class has the highest score."""
    best = score.amax(dim=1)
    rows = []
    for level in range(len(level_sizes)):
        own = ((locations.frame == frame) & (locations.level == level)).nonzero()[:, 0]
        order = best[own].argsort(descending=True, stable=True)[:CANDIDATES]
        rows.append(own[order])
    return torch.cat(rows)


def _assign(locations: Locations, frame: int, extent: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """The positive locations of one frame, as rows [P] of all locations, and the box [P] that each learns.

    A box belongs to the coarsest level up to which all levels have `LOCATIONS_FOR_LEVEL` locations inside it (else to
    the finest), and its positives are the `POSITIVES` of them with the highest centerness; a location in several boxes
    is assigned to the smallest. Locations as central as the first one left out are left out too, as in FCAF3D's code.
    """
    rows = (locations.frame == frame).nonzero()[:, 0]
    if len(extent) == 0 or len(rows) == 0:
        return rows[:0], rows[:0]
    place, level = locations.place[rows], locations.level[rows]
    distance = _distances(place[:, None], extent[None])
    inside = (distance > 0).all(dim=2)
    enough = torch.stack([(inside & (level == k)[:, None]).sum(dim=0) for k in range(levels)]) >= LOCATIONS_FOR_LEVEL
    own_level = (enough.int().cumprod(dim=0).sum(dim=0) - 1).clamp(min=0)
    inside = inside & (level[:, None] == own_level)
    centerness = _centerness(distance).masked_fill(~inside, -1)
    positive = inside
    if len(rows) > POSITIVES:
        positive = inside & (centerness > centerness.topk(POSITIVES + 1, dim=0).values[-1])
    volume = (extent[:, 3:] - extent[:, :3]).prod(dim=1).expand_as(centerness).masked_fill(~positive, torch.inf)
    smallest, box = volume.min(dim=1)
    learns = smallest.isfinite()
    return rows[learns], box[learns]


def _distances(place: Tensor, extent: Tensor) -> Tensor:
    """[..., 6]: from a place to the three lower and the three upper faces; all positive inside."""
    return torch.cat([place - extent[..., :3], extent[..., 3:] - place], dim=-1)


def _centerness(distance: Tensor) -> Tensor:
    """[...] in 0..1 of distances [..., 6]: the square root of the product of FCOS's ratios over three axes.

    FCAF3D's code takes the square root also in three dimensions (`compute_centerness`).
    """
    pairs = torch.stack([distance[..., :3], distance[..., 3:]])
    return (pairs.amin(dim=0) / pairs.amax(dim=0).clamp(min=1e-6)).clamp(min=0).prod(dim=-1).sqrt()


def _overlap_of_distances(found: Tensor, expected: Tensor) -> Tensor:
    """IoU [P] of two boxes around the same place, both given by their distances [P, 6]."""
    edges = [d[:, :3] + d[:, 3:] for d in (found, expected, torch.minimum(found, expected))]
    first, second, common = (edge.prod(dim=1) for edge in edges)
    return common / (first + second - common).clamp(min=1e-9)
