"""Features of labelled points of a frozen backbone, for probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.engine.batches import Transforms, evaluation_batches
from pc_ssl.errors import UserError
from pc_ssl.heads.linear_probe import estimate_batch_norm, features_at
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.voxelize import OutsideGrid
from pc_ssl.structures import SegmentationBatch

BATCH_NORM_FRAMES = 64  # for the statistics of batch normalisation

Choose = Callable[[Tensor, torch.Generator], Tensor]  # labels [N], generator -> rows of the chosen points


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of S labelled points of some frames.

    Args:
        feature: [S, C] float32, on the CPU.
        label: [S] int64 class of each point, never `ignore`.
        frame: [S] int64 index into `frames`.
        point: [S] int64 row of the frame's points.
        frames: with at least one chosen point or none, in their order.
    """

    feature: Tensor
    label: Tensor
    frame: Tensor
    point: Tensor
    frames: tuple[Frame, ...]

    def __getitem__(self, rows: Tensor) -> LabelledFeatures:
        """Those points."""
        return LabelledFeatures(
            self.feature[rows], self.label[rows], self.frame[rows], self.point[rows], self.frames
        )  # fmt: skip


def labelled_features(
    task: SegmentationTask,
    cache: Cache,
    rows: Sequence[int],
    seed: int,
    device: torch.device,
    choose: Choose,
    transforms: Transforms = (),
) -> LabelledFeatures:
    """Features of the frozen backbone at points of each frame.

    Statistics of batch normalisation are estimated anew first, see `heads/linear_probe.py`.

    Args:
        task: its backbone's weights do not change.
        cache: with labels.
        rows: of the frames.
        seed: of `choose`.
        device: to compute on.
        choose: gives the points of a frame, of those that have a label.
        transforms: applied to the scenes.

    Raises:
        UserError: a frame has no labels or no point in the backbone's grid.
    """
    backbone = task.to(device).get_submodule("backbone").eval()
    some = rows[:: -(-len(rows) // BATCH_NORM_FRAMES)]
    generator = torch.Generator().manual_seed(seed)
    features, labels, frames, points, shown = [], [], [], [], list[Frame]()
    token = ""

    def batches(rows: Sequence[int], what: str) -> Iterator[tuple[Frame, SegmentationBatch]]:
        nonlocal token
        for frame, batch in evaluation_batches(task, cache, rows, device, transforms, what):
            token = frame.token
            yield frame, batch

    try:
        estimate_batch_norm(backbone, (batch.points for _, batch in batches(some, "statistics")), device)
        for frame, batch in batches(rows, "features"):
            label = batch.label.cpu()
            chosen = choose(label, generator)
            features.append(features_at(task.backbone, batch.points, chosen))
            labels.append(label[chosen])
            points.append(chosen)
            frames.append(torch.full((len(chosen),), len(shown)))
            shown.append(frame)
    except OutsideGrid as error:
        raise UserError(f"frame {token}: {error}") from error
    return LabelledFeatures(torch.cat(features), torch.cat(labels), torch.cat(frames), torch.cat(points), tuple(shown))
