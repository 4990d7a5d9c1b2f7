"""CenterPoint: boxes from heat maps of their centres.

Yin, Zhou and Kraehenbuehl, "Center-based 3D Object Detection and Tracking", CVPR 2021, Sec. 4, the first stage. What
the paper leaves open is as in the reference code (tianweiy/CenterPoint, det3d/models/bbox_heads/center_head.py and
configs/nusc/voxelnet): six groups of classes, a shared convolution to 64 channels, two convolutions for each number,
Gaussians by an overlap of 0.1 and at least 2 cells, loss weights 0.25 for boxes and 0.2 for velocity, a score above
0.1.

1. Shared convolution, and for each group a heat map for each of its classes and one map of codes (`box_coding.py`),
   where column and row are offsets within the cell.
2. Loss: penalty-reduced focal loss of the heat maps, and L1 of the codes in the cells of the centres; summed over
   groups.
3. Prediction: the highest local maxima of each group (the reference code takes all cells), then non-maximum suppression
   within the group.

The reference code clips probabilities to 1e-4..1 - 1e-4, beyond which the gradient is zero; here the logarithms are
computed from logits, without clipping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pc_ssl.derived import BackboneChannels, BoxNames
from pc_ssl.heads.attributes import NUSCENES_CLASSES
from pc_ssl.heads.box_coding import CODE, BoxTargets, MapCells, code_loss
from pc_ssl.heads.heat_map import INITIAL_BIAS, highest, local_maxima, target_heat_map
from pc_ssl.heads.suppression import CircleNms, KeepAll, MixedNms, RotatedNms, suppressed
from pc_ssl.losses.focal import gaussian_focal
from pc_ssl.models.features import BevFeatures
from pc_ssl.structures import Boxes3D
from pc_ssl.taxonomies import NUSCENES

NUSCENES_GROUPS = NUSCENES.box_groups
PARTS = {"offset": 2, "height": 1, "size": 3, "heading": 2, "velocity": 2}  # of a code, in its order


@dataclass(frozen=True)
class GroupMaps:
    """Predictions of one group in each cell.

    Args:
        heat_map: [B, k, H, W] logits of the group's classes.
        code: [B, CODE, H, W]; column and row are offsets from the corner of the cell.
    """

    heat_map: Tensor
    code: Tensor


@dataclass(frozen=True)
class CenterPointMaps:
    """Predictions of the head: maps of each group, and their cells."""

    groups: tuple[GroupMaps, ...]
    cells: MapCells


class CenterPointHead(nn.Module):
    """A BEV map to boxes.

    Args:
        in_channels: of the map.
        class_names: labels are indices into it.
        groups: each class in exactly one; the classes of a group share their map of codes. "usual": CenterPoint's six
            for nuScenes' ten classes, one group of all for others; "one": one group of all.
        shared_channels: of the shared convolution and the branches.
        branch_layers: convolutions of each branch, 1 or 2.
        suppression: see `suppression.py`; circles need a distance for each group.
        min_overlap: see `heat_map.gaussian_radius`.
        min_radius: of a Gaussian, cells.
        box_weight: of the L1 loss, relative to the focal loss.
        velocity_weight: of vx and vy within it.
        score_threshold: predictions with this score or less are dropped.
        candidates: number of local maxima that are decoded in each group.

    Raises:
        ValueError: the groups do not hold each class once, or the suppression's number of distances or scales does not
            match.
    """

    group_of: Tensor
    index_in_group: Tensor

    def __init__(
        self,
        in_channels: BackboneChannels,
        class_names: BoxNames = NUSCENES_CLASSES,
        groups: tuple[tuple[str, ...], ...] | Literal["usual", "one"] = "usual",
        shared_channels: int = 64,
        branch_layers: Literal[1, 2] = 2,
        suppression: RotatedNms | CircleNms | MixedNms | KeepAll = RotatedNms(),  # noqa: B008 (frozen)
        min_overlap: float = 0.1,
        min_radius: int = 2,
        box_weight: float = 0.25,
        velocity_weight: float = 0.2,
        score_threshold: float = 0.1,
        candidates: int = 500,
    ) -> None:
        super().__init__()
        if isinstance(groups, str):
            six = groups == "usual" and set(class_names) == set(NUSCENES_CLASSES)
            groups = NUSCENES_GROUPS if six else (tuple(class_names),)
        if sorted(name for group in groups for name in group) != sorted(class_names):
            raise ValueError(f"CenterPointHead: groups {groups} must hold each of {class_names} once")
        if isinstance(suppression, MixedNms) and len(suppression.scale) != len(class_names):
            raise ValueError(f"CenterPointHead: {len(suppression.scale)} scales for {len(class_names)} classes")
        if isinstance(suppression, CircleNms | MixedNms) and len(suppression.distance) != len(groups):
            raise ValueError(f"CenterPointHead: {len(suppression.distance)} distances for {len(groups)} groups")
        self.in_channels, self.class_names, self.groups = in_channels, class_names, groups
        self.suppression, self.score_threshold, self.candidates = suppression, score_threshold, candidates
        self.min_overlap, self.min_radius = min_overlap, min_radius
        self.box_weight, self.velocity_weight = box_weight, velocity_weight
        place = {name: (g, i) for g, group in enumerate(groups) for i, name in enumerate(group)}
        self.register_buffer("group_of", torch.tensor([place[name][0] for name in class_names]), persistent=False)
        self.register_buffer("index_in_group", torch.tensor([place[name][1] for name in class_names]), persistent=False)
        self.shared = nn.Sequential(
            nn.Conv2d(in_channels, shared_channels, 3, padding=1), nn.BatchNorm2d(shared_channels), nn.ReLU()
        )
        self.branches = nn.ModuleList(_branches(shared_channels, len(group), branch_layers) for group in groups)

    def forward(self, features: BevFeatures) -> CenterPointMaps:
        """Heat maps and codes, at the resolution of the map."""
        shared = self.shared(features.map)
        groups = []
        for branches in self.branches:
            assert isinstance(branches, nn.ModuleDict)
            code = torch.cat([branches[part](shared) for part in PARTS], dim=1)
            groups.append(GroupMaps(branches["heat_map"](shared), code))
        return CenterPointMaps(tuple(groups), MapCells.of(features))

    def loss(self, maps: CenterPointMaps, boxes: Sequence[Boxes3D]) -> dict[str, Tensor]:
        """ "loss" = "heat_map" + box_weight * "box"; each a scalar.

        Args:
            maps: predicted for B frames.
            boxes: of these frames; those of other classes or off the map are ignored.
        """
        targets = BoxTargets.of(boxes, len(self.class_names), maps.cells)
        zero = maps.groups[0].code.new_zeros((), dtype=torch.float32)
        heat_map, box = zero, zero
        for number, (group, names) in enumerate(zip(maps.groups, self.groups, strict=True)):
            of_group = self._of_group(targets, number)
            wanted = target_heat_map(of_group, maps.cells, len(boxes), len(names), self.min_overlap, self.min_radius)
            heat_map = heat_map + gaussian_focal(group.heat_map, wanted)
            code = group.code[of_group.frame, :, of_group.cell[:, 1], of_group.cell[:, 0]]
            box = box + code_loss(code, _within_cell(of_group), self.velocity_weight)
        return {"loss": heat_map + self.box_weight * box, "heat_map": heat_map.detach(), "box": box.detach()}

    @torch.no_grad()
    def decode(self, maps: CenterPointMaps) -> list[Boxes3D]:
        """The boxes of each frame, highest score first."""
        parts = [self._candidates(maps, number) for number in range(len(self.groups))]
        return [
            suppressed(candidates, self.score_threshold, self.suppression) for candidates in zip(*parts, strict=True)
        ]

    def _of_group(self, targets: BoxTargets, number: int) -> BoxTargets:
        """The group's boxes, with labels relative to the group."""
        chosen = targets[self.group_of[targets.label] == number]
        return BoxTargets(chosen.frame, self.index_in_group[chosen.label], chosen.box, chosen.code, chosen.cell)

    def _candidates(self, maps: CenterPointMaps, number: int) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Box, score, label and group of each frame's highest local maxima."""
        group = maps.groups[number]
        probability = group.heat_map.float().sigmoid()
        score, kind, cell = highest(torch.where(local_maxima(probability), probability, 0.0), self.candidates)
        code = group.code.float().flatten(2).gather(2, cell[:, None].expand(-1, CODE, -1)).transpose(1, 2)
        corner = torch.stack([cell % maps.cells.columns, cell // maps.cells.columns], dim=2)
        code = torch.cat([code[:, :, :2] + corner, code[:, :, 2:]], dim=2)
        label = torch.tensor([self.class_names.index(name) for name in self.groups[number]], device=kind.device)[kind]
        return [
            (maps.cells.decode(code[b]), score[b], label[b], torch.full_like(label[b], number))
            for b in range(len(score))
        ]


def _within_cell(targets: BoxTargets) -> Tensor:
    """The codes [M, CODE], with column and row relative to the corner of the cell."""
    return torch.cat([targets.code[:, :2] - targets.cell, targets.code[:, 2:]], dim=1)


def _branches(channels: int, num_classes: int, layers: int) -> nn.ModuleDict:
    branches = nn.ModuleDict({part: _branch(channels, width, layers) for part, width in PARTS.items()})
    branches["heat_map"] = _branch(channels, num_classes, layers, INITIAL_BIAS)
    return branches


def _branch(channels: int, out_channels: int, layers: int, bias: float = 0.0) -> nn.Sequential:
    last = nn.Conv2d(channels, out_channels, 3, padding=1)
    assert last.bias is not None
    nn.init.constant_(last.bias, bias)
    hidden = (nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()) if layers == 2 else ()
    return nn.Sequential(*hidden, last)
