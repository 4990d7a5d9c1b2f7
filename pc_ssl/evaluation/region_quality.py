"""Quality of the regions and superpixels of a cache: numbers, sizes, coverage, agreement with boxes and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.evaluation.regions import ObjectRecall, Purity, object_recall, region_purity
from pc_ssl.geometry import points_in_boxes
from pc_ssl.progress import track

LAG_COLUMN = 4  # of points: seconds since an earlier sweep; 0 in the key sweep; if sweeps are merged


@dataclass
class ClassFit:
    """Counts of the best classifier that is constant on each region, which predicts its majority class.

    Args:
        hit: [K] labelled points whose region has their class, by class.
        labelled: [K] labelled points.
        claimed: [K] labelled points in regions of that class.
    """

    hit: NDArray[np.int64]
    labelled: NDArray[np.int64]
    claimed: NDArray[np.int64]

    @property
    def miou(self) -> float:
        """Mean over the classes that are labelled of hit / (labelled + claimed - hit); NaN without any."""
        seen = self.labelled > 0
        iou = self.hit[seen] / (self.labelled + self.claimed - self.hit)[seen]
        return float(iou.mean()) if seen.any() else float("nan")

    def add(self, region: NDArray[np.integer], label: NDArray[np.uint8]) -> None:
        """Count one frame. region [N], -1 none: counts as no class; label [N], 0 is left out."""
        known = label > 0
        region, classes, size = region[known], label[known].astype(np.int64), len(self.labelled)
        self.labelled += np.bincount(classes, minlength=size)
        some = region >= 0
        shared = np.zeros((int(region.max(initial=-1)) + 1, size), np.int64)
        np.add.at(shared, (region[some], classes[some]), 1)
        winner = shared.argmax(axis=1)
        self.hit += np.bincount(winner, shared.max(axis=1, initial=0), size).astype(np.int64)
        self.claimed += np.bincount(winner, shared.sum(axis=1), size).astype(np.int64)


@dataclass
class RegionQuality:
    """Quality of one generator, over all frames of a cache.

    Args:
        name: "region/dbscan", "superpixel/slic".
        sizes: points or pixels of each region, one array per frame.
        covered: points or pixels in regions.
        coverable: points that are not ground or that a region holds nevertheless, as a data set's segments hold
            floors; or pixels.
        objects: recall of boxes by regions; regions of points only.
        purity: share of points of the majority object; regions of points only.
        classes: the best classifier with one class per region; None without point labels.
    """

    name: str
    classes: ClassFit | None
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    covered: int = 0
    coverable: int = 0
    objects: ObjectRecall = ObjectRecall(0, 0)  # noqa: RUF009 (frozen)
    purity: Purity = Purity(0, 0)  # noqa: RUF009 (frozen)

    def row(self) -> tuple[str, ...]:
        """The cells of the table: name, regions per frame, their sizes, coverage, recall, purity, mIoU."""
        size = np.concatenate(self.sizes) if self.sizes else np.empty(0)
        low, middle, high = np.percentile(size, (10, 50, 90)) if len(size) else (0, 0, 0)
        found = f"{self.objects.found}/{self.objects.objects} {_share(self.objects.recall)}"
        return (
            self.name,
            f"{len(size) / max(len(self.sizes), 1):.0f}",
            f"{low:.0f} {middle:.0f} {high:.0f}",
            _share(self.covered / self.coverable if self.coverable else float("nan")),
            found if self.objects.objects else "-",
            _share(self.purity.purity),
            _share(float("nan") if self.classes is None else self.classes.miou),
        )


HEADINGS = ("generator", "per frame", "size 10 50 90 %", "coverage", "objects found", "purity", "mIoU at best")


def region_quality(cache: Cache) -> list[RegionQuality]:
    """Measure every generator of a cache; only points of the key sweep are counted.

    Objects are boxes with at least 10 points, found if a region has an intersection over union of 0.5 with its
    points. For the best mIoU the ground counts as one more region.
    """
    keys = {key for index in range(len(cache)) for key in cache[index].keys()}  # noqa: SIM118 (no mapping)
    names = sorted({name for name in map(_generator_of, keys) if name is not None})
    labelled = "label" in keys
    size = len(cache.class_names)
    empty = [ClassFit(*np.zeros((3, size), np.int64)) if labelled else None for _ in names]
    measured = {name: RegionQuality(name, classes) for name, classes in zip(names, empty, strict=True)}
    merged = cache.manifest.options.get("sweeps", 1) > 1
    for index in track(range(len(cache)), total=len(cache), what="measuring regions"):
        frame = cache[index]
        of_points = [quality for name, quality in measured.items() if name.startswith("region/") and name in frame]
        if of_points:
            key = _KeySweep.of(frame, merged)
            for quality in of_points:
                _add_points(frame, quality, key)
        for name, quality in measured.items():
            if not name.startswith("region/"):
                _add_images(frame, name, quality)
    return list(measured.values())


def quality_table(measured: Sequence[RegionQuality]) -> str:
    """Lines of text for the user."""
    if not measured:
        return "the cache holds no regions and no superpixels"
    rows = [HEADINGS, *(quality.row() for quality in measured)]
    width = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip() for row in rows)


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _generator_of(key: str) -> str | None:
    """`region/dbscan` of itself, `superpixel/slic` of `superpixel/slic/CAM_FRONT`, None of anything else."""
    kind, _, name = key.partition("/")
    return key if kind == "region" else key.rpartition("/")[0] if kind == "superpixel" and "/" in name else None


@dataclass(frozen=True)
class _KeySweep:
    """Reference of one frame for all generators: `rows` [N] bool marks the counted points.

    Of those n points: ground [n] bool, inside [M, n] bool the boxes that hold them, label [n] uint8; None without such.
    """

    rows: NDArray[np.bool_]
    ground: NDArray[np.bool_]
    inside: NDArray[np.bool_] | None
    label: NDArray[np.uint8] | None

    @classmethod
    def of(cls, frame: Frame, merged: bool) -> _KeySweep:
        points = frame["points"].numpy()
        rows = points[:, LAG_COLUMN] == 0 if merged else np.ones(len(points), bool)
        return cls(
            rows=rows,
            ground=frame["ground"].numpy()[rows],
            inside=points_in_boxes(points[rows, :3], frame["box"].numpy()) if "box" in frame else None,
            label=frame["label"].numpy()[rows] if "label" in frame else None,
        )


def _add_points(frame: Frame, quality: RegionQuality, key: _KeySweep) -> None:
    region = frame[quality.name].numpy()[key.rows]
    count = np.bincount(region[region >= 0])
    quality.sizes.append(count[count > 0])  # a region of only earlier sweeps has no points here
    quality.covered += int(count.sum())
    quality.coverable += int((~key.ground | (region >= 0)).sum())
    if key.inside is not None:
        quality.objects += object_recall(key.inside, region)
        quality.purity += region_purity(key.inside, region)
    if quality.classes is not None and key.label is not None:
        with_ground = np.where(key.ground & (region < 0), region.max(initial=-1) + 1, region)
        quality.classes.add(with_ground, key.label)


def _add_images(frame: Frame, name: str, quality: RegionQuality) -> None:
    """All cameras of one frame; labels of points are read at the pixels that they project to."""
    sizes, seen, labels, start = [np.empty(0, np.int64)], [], [], 0
    cameras = [key.removeprefix(f"{name}/") for key in frame.keys() if key.startswith(f"{name}/")]  # noqa: SIM118
    for camera in cameras:
        superpixel = frame[f"{name}/{camera}"].numpy()
        count = np.bincount(superpixel[superpixel >= 0])
        sizes.append(count[count > 0])
        quality.coverable += superpixel.size
        if "label" in frame:
            column, row = frame[f"pixel/{camera}"].numpy().astype(np.int64).T
            at_pixel = superpixel[row, column]
            seen.append(np.where(at_pixel >= 0, at_pixel + start, -1))
            labels.append(frame["label"].numpy()[frame[f"point/{camera}"].numpy()])
        start += len(count)
    quality.sizes.append(np.concatenate(sizes))
    quality.covered += int(quality.sizes[-1].sum())
    if quality.classes is not None and labels:
        quality.classes.add(np.concatenate(seen), np.concatenate(labels))
