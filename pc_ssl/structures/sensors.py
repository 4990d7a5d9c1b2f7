"""One view of all sensors of a frame, with its annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pc_ssl.structures.boxes import Boxes3D
from pc_ssl.structures.cameras import CameraBatch, CameraViews
from pc_ssl.structures.points import PointBatch


@dataclass(frozen=True)
class PixelPairs:
    """Correspondence of pixels and points.

    Args:
        point: [P] int64 row of the points.
        camera: [P] int64 number of the camera.
        pixel: [P, 2] float32 u, v in that camera's augmented image, inside it.
    """

    point: Tensor
    camera: Tensor
    pixel: Tensor

    def __post_init__(self) -> None:
        if not self.point.shape == self.camera.shape == self.pixel.shape[:1] or self.pixel.shape[1:] != (2,):
            raise ValueError(
                f"PixelPairs: point {list(self.point.shape)}, camera {list(self.camera.shape)} and pixel "
                f"{list(self.pixel.shape)} do not fit"
            )

    def __len__(self) -> int:
        return len(self.point)


@dataclass(frozen=True)
class BevMap:
    """Map classes seen from above in the frame of the view.

    Args:
        mask: [K, H, W] bool; rows run along y, columns along x.
        known: [H, W] bool: cells that the recorded map covers; others are neither trained on nor counted.
    """

    mask: Tensor
    known: Tensor


@dataclass(frozen=True)
class SensorSample:
    """One view of one keyframe; parts that are not requested are None.

    Args:
        token: the frame's name in its data set.
        points: [N, 3 + F] float32: x, y, z in metres in the frame of the view, then features.
        view_from_lidar: [4, 4] float64: the augmentation of the points.
        region: [N] int64 region of each point, -1 none.
        num_regions: R.
        label: [N] int64 class of each point, 0 ignore.
        cameras: the images of the same view.
        pairs: pixels of `cameras` at which `points` project.
        boxes: in the frame of the view.
        bev_map: in the frame of the view.
        drawn: [S] int64 rows of the points sampled for contrast.
        sweep: [N] int64 sweep of each point, 0 for the keyframe's.
    """

    token: str
    points: Tensor
    view_from_lidar: Tensor
    region: Tensor
    num_regions: int
    label: Tensor | None = None
    cameras: CameraViews | None = None
    pairs: PixelPairs | None = None
    boxes: Boxes3D | None = None
    bev_map: BevMap | None = None
    drawn: Tensor | None = None
    sweep: Tensor | None = None


@dataclass(frozen=True)
class SensorBatch:
    """Packed samples of B frames.

    Args:
        tokens: B names of frames.
        points: B packed clouds of N points together.
        view_from_lidar: [B, 4, 4] float64.
        region: [N] int64 region of each point, unique over the batch; -1 means none.
        num_regions: of all frames together.
        label: [N] int64 class of each point, 0 ignore.
        cameras: images of the B frames.
        pairs: rows count in `points.points`; cameras count over the batch, b * K + k.
        boxes: those of each frame.
        bev_map: masks [B, K, H, W] and known [B, H, W].
        drawn: [S] int64 rows in `points.points`.
        sweep: [N] int64 sweep of each point, 0 for the keyframe's.
    """

    tokens: tuple[str, ...]
    points: PointBatch
    view_from_lidar: Tensor
    region: Tensor
    num_regions: int
    label: Tensor | None = None
    cameras: CameraBatch | None = None
    pairs: PixelPairs | None = None
    boxes: tuple[Boxes3D, ...] | None = None
    bev_map: BevMap | None = None
    drawn: Tensor | None = None
    sweep: Tensor | None = None

    @classmethod
    def pack(cls, samples: Sequence[SensorSample]) -> SensorBatch:
        """Pack samples; all samples must have the same parts."""
        points = PointBatch.pack([sample.points for sample in samples])
        starts = torch.tensor([0] + [sample.num_regions for sample in samples]).cumsum(0)
        region = [
            torch.where(s.region < 0, -1, s.region + start) for s, start in zip(samples, starts[:-1], strict=True)
        ]
        cameras = None
        if samples[0].cameras is not None:
            cameras = CameraBatch.pack([sample.cameras for sample in samples if sample.cameras is not None])
        return cls(
            tokens=tuple(sample.token for sample in samples),
            points=points,
            view_from_lidar=torch.stack([sample.view_from_lidar for sample in samples]),
            region=torch.cat(region),
            num_regions=int(starts[-1]),
            label=_joined([sample.label for sample in samples]),
            cameras=cameras,
            pairs=_packed_pairs([sample.pairs for sample in samples], points, cameras),
            boxes=None if samples[0].boxes is None else tuple(s.boxes for s in samples if s.boxes is not None),
            bev_map=_packed_maps([sample.bev_map for sample in samples]),
            drawn=_joined(
                [
                    None if s.drawn is None else s.drawn + start
                    for s, start in zip(samples, points.offsets[:-1], strict=True)
                ]
            ),
            sweep=_joined([sample.sweep for sample in samples]),
        )

    @property
    def num_frames(self) -> int:
        return len(self.tokens)

    def single_sweeps(self) -> tuple[PointBatch, Tensor]:
        """Each sweep of each frame as a separate cloud.

        Returns:
            the non-empty clouds, frame by frame with the keyframe's sweep first, and row [N] int64 of each point of
            `points` in them.
        """
        frame = self.points.frame_index()
        sweep = torch.zeros_like(frame) if self.sweep is None else self.sweep
        cloud = frame * (int(sweep.max()) + 1 if len(sweep) else 1) + sweep
        order = cloud.argsort(stable=True)
        row = torch.empty_like(order)
        row[order] = torch.arange(len(order), device=order.device)
        lengths = torch.unique_consecutive(cloud[order], return_counts=True)[1]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).cpu()
        return PointBatch(self.points.points[order], offsets), row

    def to(self, device: torch.device | str) -> SensorBatch:
        pairs, bev_map = self.pairs, self.bev_map
        return SensorBatch(
            tokens=self.tokens,
            points=self.points.to(device),
            view_from_lidar=self.view_from_lidar.to(device),
            region=self.region.to(device),
            num_regions=self.num_regions,
            label=None if self.label is None else self.label.to(device),
            cameras=None if self.cameras is None else self.cameras.to(device),
            pairs=None
            if pairs is None
            else PixelPairs(pairs.point.to(device), pairs.camera.to(device), pairs.pixel.to(device)),
            boxes=None if self.boxes is None else tuple(boxes.to(device) for boxes in self.boxes),
            bev_map=None if bev_map is None else BevMap(bev_map.mask.to(device), bev_map.known.to(device)),
            drawn=None if self.drawn is None else self.drawn.to(device),
            sweep=None if self.sweep is None else self.sweep.to(device),
        )


def _joined(values: Sequence[Tensor | None]) -> Tensor | None:
    present = [value for value in values if value is not None]
    return torch.cat(present) if len(present) == len(values) else None


def _packed_pairs(
    pairs: Sequence[PixelPairs | None], points: PointBatch, cameras: CameraBatch | None
) -> PixelPairs | None:
    if cameras is None or pairs[0] is None:
        return None
    present = [pair for pair in pairs if pair is not None]
    per_frame = cameras.image.shape[1]
    return PixelPairs(
        point=torch.cat([p.point + start for p, start in zip(present, points.offsets[:-1], strict=True)]),
        camera=torch.cat([p.camera + b * per_frame for b, p in enumerate(present)]),
        pixel=torch.cat([p.pixel for p in present]),
    )


def _packed_maps(maps: Sequence[BevMap | None]) -> BevMap | None:
    present = [value for value in maps if value is not None]
    if len(present) != len(maps):
        return None
    return BevMap(torch.stack([m.mask for m in present]), torch.stack([m.known for m in present]))
