"""k-nearest-neighbour probe of a frozen backbone, and what the nearest neighbours of a point are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.engine.batches import Transforms, evaluation_batches
from pc_ssl.engine.probe_features import LabelledFeatures, labelled_features
from pc_ssl.errors import UserError
from pc_ssl.evaluation.segmentation import SegmentationMetric, SegmentationResult
from pc_ssl.heads.linear_probe import features_at, uniform_sample
from pc_ssl.heads.nearest_neighbours import NearestNeighbours, balanced_sample
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.structures import IGNORE

KNN = "knn"  # its name among the protocols of a probe
BANK = 10_000  # labelled points that queries are compared with; ours: 1 s for 8,000 queries on a core
QUERIES_PER_FRAME = 4_000  # labelled points of a frame that are classified, drawn uniformly
DRAWN = 4  # times the bank are drawn from the frames, so that rare classes can fill their share
INSPECTED = 2_000  # points of the bank whose neighbours are reported
REGION = "region/"  # prefix of the cache's tensors of regions


class KnnProbe:
    """Fits and evaluates the probe.

    Args:
        task: its backbone gives the features; its head is not used.
        cache: with labels.
        seed: of the sampled points.
        device: to compute on.
    """

    def __init__(self, task: SegmentationTask, cache: Cache, seed: int, device: torch.device) -> None:
        self.task, self.cache, self.seed, self.device = task, cache, seed, device

    def fit(self, rows: Sequence[int], transforms: Transforms = ()) -> dict[str, Any]:
        """Fill the bank from labelled frames; returns statistics of it, see `neighbour_shares`.

        Raises:
            UserError: a frame has no labels or no point in the backbone's grid, or no point has a label.
        """
        num_classes = self.task.head.out_features + 1
        per_class = max(1, DRAWN * BANK // (len(rows) * (num_classes - 1)))
        choose = partial(_at_most, per_class)
        drawn = labelled_features(self.task, self.cache, rows, self.seed, self.device, choose, transforms)
        if len(drawn.label) == 0:
            raise UserError(f"{self.cache.path}: none of the {len(rows)} labelled frames has a labelled point")
        bank = drawn[balanced_sample(drawn.label, BANK, torch.Generator().manual_seed(self.seed))]
        feature = torch.nn.functional.normalize(bank.feature, dim=1).to(self.device)
        self.bank = NearestNeighbours(feature, bank.label.to(self.device), num_classes)
        names = self.cache.class_names
        counts = torch.bincount(bank.label, minlength=num_classes).tolist()
        return {
            "points": len(bank.label),
            "k": self.bank.k,
            "temperature": self.bank.temperature,
            "queries_per_frame": QUERIES_PER_FRAME,
            "classes": {names[k]: counts[k] for k in range(num_classes) if k != IGNORE},
            "neighbours": neighbour_shares(bank, self.bank),
        }

    @torch.no_grad()
    def evaluate(self, rows: Sequence[int], transforms: Transforms = ()) -> SegmentationResult:
        """Classify a sample of the labelled points of each frame, and count.

        Raises:
            UserError: a frame has no labels, or none has a labelled point.
        """
        self.task.to(self.device).eval()
        metric = SegmentationMetric(self.cache.class_names)
        generator = torch.Generator().manual_seed(self.seed)
        for frame, batch in evaluation_batches(self.task, self.cache, rows, self.device, transforms):
            label = batch.label.cpu()
            chosen = uniform_sample(label, QUERIES_PER_FRAME, generator)
            feature = features_at(self.task.backbone, batch.points, chosen).to(self.device)
            metric.update(self.bank.predict(feature), label[chosen], frame.scene)
        return metric.result()


def neighbour_shares(points: LabelledFeatures, bank: NearestNeighbours) -> dict[str, float]:
    """What the k nearest neighbours of points of the bank are, the point itself left out.

    Args:
        points: the points of the bank, in its order.
        bank: to search in.

    Returns:
        Means over points and neighbours:
        "same_class", and "same_class_by_chance": the expectation for neighbours that are drawn from the bank.
        "same_frame", "same_scene": of the neighbours.
        "same_class_of_other_scenes": share of the class among the neighbours from other scenes; what is left when
            closeness in space is no help.
        "same_region/NAME": for points in a region, share of neighbours in that region of that frame; for each
            generator whose regions the cache holds.
        A share without any neighbour to count is left out.
    """
    if len(points.label) < 2:
        return {}
    query = torch.arange(0, len(points.label), -(-len(points.label) // INSPECTED))
    _, found = bank.neighbours(bank.feature[query.to(bank.feature.device)], exclude=query.to(bank.feature.device))
    near = found.cpu()
    scenes = {name: number for number, name in enumerate(dict.fromkeys(frame.scene for frame in points.frames))}
    scene = torch.tensor([scenes[frame.scene] for frame in points.frames])[points.frame]

    def same(value: Tensor) -> Tensor:
        return value[near] == value[query, None]

    share = torch.bincount(points.label).double() / len(points.label)
    shares = {
        "same_class": same(points.label),
        "same_frame": same(points.frame),
        "same_scene": same(scene),
        "same_class_of_other_scenes": same(points.label)[~same(scene)],
    }
    for name, region in _regions(points).items():
        shares[f"same_region/{name}"] = (same(region) & same(points.frame))[region[query] >= 0]
    means = {name: float(value.double().mean()) for name, value in shares.items() if value.numel()}
    return {"same_class_by_chance": float(share.square().sum()), **means}


def _regions(points: LabelledFeatures) -> dict[str, Tensor]:
    """Generator -> [S] int64 region of each point, -1 for none."""
    keys = [set(_region_keys(frame)) for frame in points.frames]
    regions = {}
    for key in sorted(set.intersection(*keys)):
        value = torch.full_like(points.point, -1)
        for number, frame in enumerate(points.frames):
            of = points.frame == number
            value[of] = frame[key].long()[points.point[of]]
        regions[key.removeprefix(REGION)] = value
    return regions


def _region_keys(frame: Frame) -> list[str]:
    return [key for key in frame.keys() if key.startswith(REGION)]  # noqa: SIM118


def _at_most(per_class: int, label: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of at most `per_class` points of each class."""
    rows = [uniform_sample(torch.where(label == name, label, IGNORE), per_class, generator)
            for name in label.unique().tolist() if name != IGNORE]  # fmt: skip
    return torch.cat(rows) if rows else label.new_zeros(0)
