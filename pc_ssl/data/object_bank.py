"""Ground-truth sampling: pasting objects of labelled frames into other scenes.

Yan et al., "SECOND: Sparsely Embedded Convolutional Detection", Sensors 2018, Sec. 3.3: points and box of objects
of other frames are added to a scene at their recorded position relative to the sensor, unless they would overlap
another object. The counts per class are those of CenterPoint's and BEVFusion's configs for nuScenes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pc_ssl.data.cache import MANIFEST, Cache, Frame
from pc_ssl.data.class_balance import classes_of_boxes
from pc_ssl.errors import UserError
from pc_ssl.geometry import points_in_boxes
from pc_ssl.ops import rotated_iou_bev
from pc_ssl.protocols import SceneTransform
from pc_ssl.structures import Boxes3D, Scene

NUSCENES_COUNTS = {
    "car": 2, "truck": 3, "construction_vehicle": 7, "bus": 4, "trailer": 6, "barrier": 2, "motorcycle": 6,
    "bicycle": 6, "pedestrian": 2, "traffic_cone": 2,
}  # fmt: skip
CANDIDATES_PER_OBJECT = 4  # per requested object, as some have few points or overlap other objects


@dataclass(frozen=True)
class BankObject:
    """One object: its box (of length 1) in its recorded frame, and that frame, which holds its points."""

    boxes: Boxes3D
    frame: Frame

    def points(self) -> tuple[Tensor, Tensor]:
        """The object's points [n, 3 + F], and `keyframe` [n] of each; read from the frame."""
        points = self.frame["points"]
        inside = torch.from_numpy(points_in_boxes(points[:, :3].numpy(), self.boxes.box.numpy())[0])
        return points[inside], self.frame.keyframe[inside]


class ObjectBank:
    """The objects of some frames of a cache, by class. Points are read when an object is drawn.

    The bank holds a frame and a row per box, six bytes, so that it is cheap to send to loader workers.

    Args:
        cache: with boxes.
        indices: the frames of the objects, whose labels the run may use.

    Raises:
        UserError: a frame cannot be read, or has no boxes.
    """

    def __init__(self, cache: Cache, indices: Sequence[int]) -> None:
        self.cache, self.class_names = cache, tuple(cache.manifest.classes["box"])
        frames = sorted(set(indices))
        classes = classes_of_boxes(cache, frames)
        kind = np.concatenate(classes)
        frame = np.repeat(np.array(frames, np.int32), [len(of_frame) for of_frame in classes])
        row = np.concatenate([np.arange(len(of_frame), dtype=np.uint16) for of_frame in classes])
        self._frame = [frame[kind == number] for number in range(len(self.class_names))]
        self._row = [row[kind == number] for number in range(len(self.class_names))]

    def size(self, label: int) -> int:
        """Number of objects of a class."""
        return len(self._frame[label])

    def draw(self, label: int, count: int, rng: np.random.Generator) -> Iterator[BankObject]:
        """At most `count` objects of a class, without repetition, read lazily."""
        for number in rng.choice(self.size(label), min(count, self.size(label)), replace=False):
            yield self._read(int(self._frame[label][number]), int(self._row[label][number]))

    def _read(self, index: int, row: int) -> BankObject:
        frame, one = self.cache[index], slice(row, row + 1)
        attribute = frame["box_attribute"][one].long() if "box_attribute" in frame else None
        return BankObject(Boxes3D(frame["box"][one], frame["box_class"][one].long(), attribute), frame)


@dataclass(frozen=True)
class ObjectPaste(SceneTransform):
    """Adds objects of a bank to a scene.

    Classes are processed in the order of `counts`. An object is skipped if it overlaps, in bird's-eye view, any box of
    the scene or pasted before. The scene's points inside a pasted box are removed.

    Args:
        counts: class name -> number of objects that a scene is filled up to, if enough fit.
        min_points: objects with fewer points are not pasted.
        bank: None until `CacheScenes` sets the bank of its frames.

    Raises:
        ValueError: a count is negative.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"boxes"})
    counts: Mapping[str, int] = field(default_factory=lambda: dict(NUSCENES_COUNTS))
    min_points: int = 5
    bank: ObjectBank | None = None

    def __post_init__(self) -> None:
        if any(count < 0 for count in self.counts.values()):
            raise ValueError(f"ObjectPaste: counts must not be negative, got {dict(self.counts)}")

    def over(self, cache: Cache, rows: Sequence[int]) -> ObjectPaste:
        """This transform with a bank of these frames.

        Raises:
            UserError: the cache does not have a class of `counts`.
        """
        bank = ObjectBank(cache, rows)
        unknown = [name for name in self.counts if name not in bank.class_names]
        if unknown:
            raise UserError(
                f"{cache.path / MANIFEST}: no box class {unknown[0]!r} to paste; it has {', '.join(bank.class_names)}"
            )
        return replace(self, bank=bank)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """The scene with added boxes; their points are last, and have no region.

        Raises:
            UserError: the scene has images or labels of points, which would not contain the objects.
            ValueError: there is no bank, or the scene has no boxes.
        """
        if self.bank is None or scene.boxes is None:
            raise ValueError(f"{scene.token}: pasting needs a bank (CacheScenes gives it) and a scene with boxes")
        if scene.cameras or scene.visible or scene.label is not None:
            found = "images" if scene.cameras or scene.visible else "labels of points"
            raise UserError(f"{scene.token}: ObjectPaste cannot be used with {found}, which would not show the objects")
        parts = [scene.boxes]
        points: list[tuple[Tensor, Tensor]] = []
        for name, count in self.counts.items():
            label = self.bank.class_names.index(name)
            missing = max(count - int((scene.boxes.label == label).sum()), 0)
            wanted = len(points) + missing
            for candidate in self.bank.draw(label, missing * CANDIDATES_PER_OBJECT, rng):
                if len(points) == wanted:
                    break
                placed = torch.cat([part.box for part in parts])
                if bool((rotated_iou_bev(candidate.boxes.box, placed) > 0).any()):
                    continue
                of_object = candidate.points()
                if len(of_object[0]) >= self.min_points:
                    parts.append(candidate.boxes)
                    points.append(of_object)
        return _with_objects(scene, parts, points) if points else scene


def _with_objects(scene: Scene, boxes: Sequence[Boxes3D], points: Sequence[tuple[Tensor, Tensor]]) -> Scene:
    """The scene with the boxes of all parts, its own first, and the points and `keyframe` of the pasted objects."""
    pasted = torch.cat([of_object for of_object, _ in points])
    added = torch.cat([part.box for part in boxes[1:]])
    free = ~torch.from_numpy(points_in_boxes(scene.points[:, :3].numpy(), added.numpy()).any(axis=0))
    rest = scene.keep(free)
    attribute = [part.attribute for part in boxes if part.attribute is not None]
    return replace(
        rest,
        points=torch.cat([rest.points, pasted]),
        region=torch.cat([rest.region, rest.region.new_full((len(pasted),), -1)]),
        ground=None if rest.ground is None else torch.cat([rest.ground, torch.zeros(len(pasted)).bool()]),
        keyframe=torch.cat([rest.keyframe, *(keyframe for _, keyframe in points)]),
        boxes=Boxes3D(
            torch.cat([part.box for part in boxes]),
            torch.cat([part.label for part in boxes]),
            torch.cat(attribute) if len(attribute) == len(boxes) else None,
        ),
    )
