"""Features of every point of a recording, frame by frame.

    OUT/settings.json            what the files were made with; other settings are refused
    OUT/features/NAME.safetensors    xyz [N, 3] float32 metres, feature [N, C] float32; with --format npy NAME.npy and
                                     NAME.xyz.npy
    OUT/points/NAME.ply          x y z, red green blue (principal components), cluster, similarity
    OUT/pictures/NAME.png        the same colours from above
    OUT/frames.json              the most similar frames of each frame

One frame is in memory at a time, besides a sample of features and one vector for each frame. Finished feature files
are kept when the command is run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.engine.weights import read_tensors, write_tensors
from pc_ssl.errors import UserError
from pc_ssl.features.analysis import KMeans, Projection, fit_kmeans, fit_projection, has_feature, similarity
from pc_ssl.features.files import picture, write_ply
from pc_ssl.files import inside, read_json, remove_partial_files, write_bytes, write_json
from pc_ssl.hub import point_features
from pc_ssl.progress import track
from pc_ssl.report.activation import nearest_point

SAMPLE = 20_000  # features that components and clusters are fitted to
SETTINGS, FRAMES = "settings.json", "frames.json"


@dataclass(frozen=True)
class Cloud:
    """One frame.

    Args:
        name: relative path without ending, unique in the recording.
        points: [N, 3 + F] float32, as the network takes them.
    """

    name: str
    points: Tensor


class Recording(Protocol):
    """Frames that are read when needed."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def columns(self) -> Sequence[str]:
        """Of the points: x, y, z, then features."""
        ...

    def read(self, index: int) -> Cloud:
        """Raises:
        UserError: the frame is damaged.
        """
        ...


@dataclass(frozen=True)
class Place:
    """A point of a frame: the nearest one to coordinates, or the one of this row.

    Args:
        frame: name of the frame.
        xyz: metres in its frame; None: `row` is given.
        row: from 0.
    """

    frame: str
    xyz: tuple[float, float, float] | None = None
    row: int | None = None


@dataclass(frozen=True)
class Extraction:
    """What to write.

    Args:
        clusters: K of k-means.
        similar_to: the point that all others are compared with; None: none.
        nearest: frames listed for each frame.
        pictures: number of frames that are drawn, spread over the recording.
        form: of the feature files.
        seed: of the sample and of k-means.
    """

    clusters: int = 8
    similar_to: Place | None = None
    nearest: int = 5
    pictures: int = 10
    form: Literal["safetensors", "npy"] = "safetensors"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clusters < 1 or self.nearest < 0 or self.pictures < 0:
            raise ValueError(f"Extraction: expected at least one cluster and no negative number, got {self}")


def extract(recording: Recording, network: nn.Module, out: Path, options: Extraction, source: dict[str, Any]) -> None:
    """Write everything that the module names.

    Args:
        recording: the frames.
        network: a LiDAR backbone in eval mode.
        out: folder to write.
        options: what to write.
        source: what determines the features: weights and recording, as JSON values.

    Raises:
        UserError: the columns are not the network's, a frame is damaged, `out` holds features of another source, or
            the point to compare with is not there.
    """
    expected = 3 + int(network.point_features)  # type: ignore[arg-type]
    if len(recording.columns) != expected:
        raise UserError(
            f"the recording's points are {', '.join(recording.columns)}, but the network takes x, y, z and "
            f"{expected - 3} features; choose them with --columns, or merge sweeps for the time lag"
        )
    place = options.similar_to
    if place is not None and place.frame not in recording.names:
        raise UserError(f"--similar-to: the recording has no frame {place.frame!r}; its first is {recording.names[0]}")
    _check_source(out, {**source, "format": options.form})
    remove_partial_files(out)
    store = _Store(out / "features", options.form)
    for index in track(range(len(recording.names)), total=len(recording.names), what="features"):
        if not store.has(recording.names[index]):
            cloud = recording.read(index)
            store.write(cloud.name, cloud.points[:, :3], point_features(network, cloud.points).cpu())
    sample, vectors = _overview(store, recording.names, options.seed)
    if not len(sample):
        raise UserError("no point of the recording is within the network's grid; are its coordinates metres?")
    anchor = None if place is None else _anchor(store, place)
    projection, kmeans = fit_projection(sample), fit_kmeans(sample, options.clusters, options.seed)
    drawn = _spread(len(recording.names), options.pictures)
    for index, name in enumerate(track(recording.names, total=len(recording.names), what="colours")):
        _draw(out, name, store.read(name), projection, kmeans, anchor, index in drawn)
    write_json(out / FRAMES, nearest_frames(recording.names, vectors, options.nearest))


def nearest_frames(names: Sequence[str], vectors: Tensor, count: int) -> dict[str, list[dict[str, Any]]]:
    """For each frame the `count` others of the most similar mean feature, the most similar first.

    Args:
        names: of the M frames.
        vectors: [M, C], see `_overview`; zeros for frames without features, which are listed nowhere.
        count: at most.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    unit, valid = normalize(vectors, dim=1), has_feature(vectors)
    for row, name in enumerate(names):
        cosine = unit @ unit[row]
        cosine[~valid] = -torch.inf
        cosine[row] = -torch.inf
        best = cosine.argsort(descending=True, stable=True)[:count].tolist() if bool(valid[row]) else []
        found[name] = [
            {"frame": names[k], "similarity": round(float(cosine[k]), 6)} for k in best if cosine[k] > -torch.inf
        ]
    return found


@dataclass(frozen=True)
class _Store:
    """Feature files of the frames."""

    folder: Path
    form: str

    def _path(self, name: str, ending: str) -> Path:
        path = inside(self.folder, name)
        return path.with_name(path.name + ending)

    def has(self, name: str) -> bool:
        return self._path(name, f".{self.form}").is_file()

    def write(self, name: str, xyz: Tensor, feature: Tensor) -> None:
        if self.form == "safetensors":
            write_tensors(self._path(name, ".safetensors"), {"xyz": xyz.float(), "feature": feature}, {"frame": name})
            return
        write_bytes(self._path(name, ".xyz.npy"), _npy(xyz.float()))
        write_bytes(self._path(name, ".npy"), _npy(feature))  # the last, so that a frame that has it is whole

    def read(self, name: str) -> tuple[Tensor, Tensor]:
        """xyz [N, 3], feature [N, C].

        Raises:
            UserError: the file is damaged.
        """
        path = self._path(name, f".{self.form}")
        if self.form == "safetensors":
            tensors, _ = read_tensors(path)
            if set(tensors) != {"xyz", "feature"} or len(tensors["xyz"]) != len(tensors["feature"]):
                raise UserError(f"{path}: expected xyz and feature of the same points; delete the file and run again")
            return tensors["xyz"], tensors["feature"]
        try:
            arrays = [np.load(of, allow_pickle=False) for of in (self._path(name, ".xyz.npy"), path)]
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: not a whole array ({error}); delete the file and run again") from None
        return torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1])


def _check_source(out: Path, source: dict[str, Any]) -> None:
    path = out / SETTINGS
    if path.is_file():
        before = read_json(path)
        for key in source:
            found = before.get(key) if isinstance(before, dict) else None
            if found != source[key]:
                raise UserError(
                    f"{path}: {key} was {found!r}, is {source[key]!r}; the folder holds other features: choose another "
                    "--out"
                )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: holds other files; choose a new --out")
    else:
        write_json(path, source)


def _overview(store: _Store, names: Sequence[str], seed: int) -> tuple[Tensor, Tensor]:
    """A sample of all features [n, C], and each frame's mean normalised feature [M, C]."""
    generator = torch.Generator().manual_seed(seed)
    each = max(1, SAMPLE // max(1, len(names)))
    samples, vectors = [], []
    for name in names:
        _, feature = store.read(name)
        found = feature[has_feature(feature)]
        samples.append(found[torch.randperm(len(found), generator=generator)[:each]])
        mean = normalize(found.double(), dim=1).mean(dim=0) if len(found) else feature.new_zeros(feature.shape[1])
        vectors.append(mean.double())
    return torch.cat(samples), torch.stack(vectors)


def _anchor(store: _Store, place: Place) -> Tensor:
    """The feature [C] of a point.

    Raises:
        UserError: it is not there, or has no feature.
    """
    xyz, feature = store.read(place.frame)
    row = place.row if place.xyz is None else nearest_point(xyz, place.xyz)
    if row is None or not 0 <= row < len(xyz):
        raise UserError(f"--similar-to: point {row} of {place.frame}, which has {len(xyz)}")
    if not bool(has_feature(feature[row : row + 1])):
        raise UserError(f"--similar-to: point {row} of {place.frame} is outside the network's grid")
    return feature[row]


def _draw(
    out: Path, name: str, found: tuple[Tensor, Tensor], projection: Projection, kmeans: KMeans, anchor: Tensor | None,
    with_picture: bool,
) -> None:  # fmt: skip
    xyz, feature = found
    color = (projection.colors(feature) * 255).round().to(torch.uint8)
    cluster = kmeans.clusters(feature).int()
    cosine = None if anchor is None else similarity(feature, anchor).float()
    path = inside(out / "points", name)
    write_ply(path.with_name(path.name + ".ply"), xyz, color, cluster, cosine)
    if with_picture:
        shown = inside(out / "pictures", name)
        write_bytes(shown.with_name(shown.name + ".png"), picture(xyz, color, cluster, cosine))


def _spread(total: int, count: int) -> set[int]:
    return {int(index) for index in np.linspace(0, total - 1, min(total, count)).round()}


def _npy(tensor: Tensor) -> bytes:
    buffer = BytesIO()
    np.save(buffer, tensor.numpy(), allow_pickle=False)
    return buffer.getvalue()
