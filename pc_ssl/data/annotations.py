"""ScanNet's data-efficient protocols: few rooms with labels, or few labelled points in each room.

Hou et al., "Exploring Data-Efficient 3D Scene Understanding with Contrastive Scene Contexts", CVPR 2021. The official
lists are part of ScanNet's download: `limited-reconstruction-scenes/1.txt` has one room per line,
`limited-annotation-points/points20` is a file of torch.save with room -> rows of the mesh's vertices.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.protocols import SceneTransform
from pc_ssl.structures import IGNORE, Scene

Annotations = Mapping[str, Tensor]  # scene -> [n] int64 rows of its points


def read_scene_list(path: Path, scenes: Sequence[str]) -> tuple[str, ...]:
    """The scenes of a list, in the order of `scenes`.

    Raises:
        UserError: the file cannot be read, is empty, or has a scene that is not in `scenes`.
    """
    try:
        names = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})") from error
    unknown = [name for name in names if name not in set(scenes)]
    if unknown or not names:
        found = repr(unknown[0]) if unknown else "no scene"
        raise UserError(f"{path}: holds {found}, expected names of scenes of the training split, such as {scenes[0]}")
    return tuple(scene for scene in scenes if scene in set(names))


def read_annotations(path: Path) -> Annotations:
    """Labelled points of each scene, from a file of torch.save; only tensors, arrays and lists are unpickled.

    Raises:
        UserError: the file cannot be read, or has other content.
    """
    try:
        with torch.serialization.safe_globals(_ARRAYS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read as a file of torch.save with only data ({reason})") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: holds {type(content).__name__}, expected scene -> rows of labelled points")
    return {str(scene): _rows(path, scene, rows) for scene, rows in content.items()}


# what pickled arrays of whole numbers are made of; numpy 1 and numpy 2 name the function differently in a file
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ARRAYS: list[Any] = [
    *(np.ndarray, np.dtype, np.dtypes.Int64DType, np.dtypes.Int32DType),
    *((_RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]


def _rows(path: Path, scene: Any, rows: Any) -> Tensor:
    try:
        value = torch.as_tensor(np.asarray(rows))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {scene}: cannot be read as rows of points ({error})") from error
    if value.ndim != 1 or value.dtype not in (torch.int64, torch.int32) or (len(value) and int(value.min()) < 0):
        raise UserError(
            f"{path}: {scene}: holds {value.dtype} {list(value.shape)}, expected rows of points [n], from 0"
        )
    return value.long()


@dataclass(frozen=True)
class DrawnAnnotations:
    """Keeps `count` labelled points per room, sampled among those that have a class.

    Args:
        count: number of points per room; all of them if there are fewer. The benchmark has 20, 50, 100 and 200.
        seed: the same seed and room give the same points.
    """

    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"labelled points: {self.count} is not positive")

    def of(self, token: str, label: Tensor) -> Tensor:
        """[min(count, labelled)] int64 rows, ascending."""
        rows = (label != IGNORE).nonzero()[:, 0]
        rng = np.random.default_rng([self.seed, *token.encode()])
        return rows[torch.from_numpy(np.sort(rng.permutation(len(rows))[: self.count]))]


@dataclass(frozen=True)
class ListedAnnotations:
    """The labelled points named in a list.

    Args:
        path: of the list, for errors.
        rows: scene -> rows of its points.
    """

    path: Path
    rows: Annotations

    def of(self, token: str, label: Tensor) -> Tensor:
        """[n] int64 rows.

        Raises:
            UserError: the list has no such room, or a row beyond its points.
        """
        if token not in self.rows:
            raise UserError(f"{self.path}: has no points of {token}")
        rows = self.rows[token]
        if len(rows) and int(rows.max()) >= len(label):
            raise UserError(f"{self.path}: {token}: has point {int(rows.max())}, but the room has {len(label)}")
        return rows


@dataclass(frozen=True)
class FewLabels(SceneTransform):
    """Removes the labels of all points except the annotated ones.

    Args:
        annotations: the points that keep their class; all others become `ignore`.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"label"})
    annotations: DrawnAnnotations | ListedAnnotations

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """The scene with few labels: the same ones in every epoch.

        Raises:
            UserError: the list has no such room, or the scene has no labels.
        """
        if scene.label is None:
            raise UserError(f"{scene.token}: the scene has no labels")
        kept = self.annotations.of(scene.token, scene.label)
        label = torch.full_like(scene.label, IGNORE)
        label[kept] = scene.label[kept]
        return replace(scene, label=label)
