"""The command that shows what a network makes of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pc_ssl.cli.app import DryRun, app, numbers
from pc_ssl.cli.train import Device
from pc_ssl.errors import UsageError

if TYPE_CHECKING:
    from data_prep.reader import FrameName, Reader
    from pc_ssl.data.cache import Cache
    from pc_ssl.features import Cloud, Place, Recording


class Format(StrEnum):
    """Of the feature files."""

    safetensors = "safetensors"
    npy = "npy"


@app.command()
def features(
    recording: Annotated[Path, typer.Argument(help="A cache, or a folder of .bin, .pcd, .las, .ply, .npy files.")],
    weights: Annotated[str, typer.Option(help="A run, a published folder, a weights file, or OWNER/NAME of the hub.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an unfinished one is continued.")],
    columns: Annotated[
        str | None, typer.Option(help="Of point files: all columns of .bin, such as x,y,z,intensity,-.")
    ] = None,
    intensity_max: Annotated[float | None, typer.Option(help="Of point files: the largest intensity.")] = None,
    similar_to: Annotated[
        str | None,
        typer.Option(help="FRAME@x,y,z (metres; the nearest point) or FRAME#ROW: compare all points with this one."),
    ] = None,
    clusters: Annotated[int, typer.Option(min=1, help="Number of k-means clusters.")] = 8,
    nearest: Annotated[int, typer.Option(min=0, help="Similar frames listed for each frame.")] = 5,
    pictures: Annotated[int, typer.Option(min=0, help="Frames that are drawn, spread over the recording.")] = 10,
    format_: Annotated[Format, typer.Option("--format", help="Of the feature files.")] = Format.safetensors,
    seed: Annotated[int, typer.Option(help="Of the sample that components and clusters are fitted to.")] = 0,
    device: Device = "auto",
    dry_run: DryRun = False,
) -> None:
    """Write a feature for every point of a recording, and point files and pictures coloured by them.

    Writes features/, points/ (.ply with colours of the principal components, clusters, similarity), pictures/ and
    frames.json, the most similar frames of each frame.

    Example: `pc-ssl features recording --columns x,y,z,intensity --weights work_dirs/prc --out work_dirs/features
    --similar-to 000012@7.5,-2,-1`
    """
    import torch

    from pc_ssl.features import Extraction, extract
    from pc_ssl.files import sha256_of
    from pc_ssl.hub import load, weights_file

    frames = _recording(recording, columns, intensity_max)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    network = load(weights, device=chosen)
    place = None if similar_to is None else _place(similar_to)
    options = Extraction(clusters, place, nearest, pictures, format_.value, seed)
    if dry_run:
        print(_cost(frames, network))
        return
    source = {
        "weights": sha256_of(weights_file(weights)),
        "recording": str(recording.resolve()),
        "columns": list(frames.columns),
        "intensity_max": intensity_max,
    }
    extract(frames, network, out, options, source)
    print(out)


@dataclass(frozen=True)
class CacheRecording:
    """The frames of a cache."""

    cache: Cache

    @property
    def names(self) -> Sequence[str]:
        return [f"{entry.scene}/{entry.token}" for entry in self.cache.frames]

    @property
    def columns(self) -> Sequence[str]:
        return self.cache.columns

    def read(self, index: int) -> Cloud:
        from pc_ssl.features import Cloud

        return Cloud(self.names[index], self.cache[index]["points"])


@dataclass(frozen=True)
class FolderRecording:
    """The frames of a folder of point files, read as `pc-ssl prepare folder` does."""

    reader: Reader
    frames: Sequence[FrameName]

    @property
    def names(self) -> Sequence[str]:
        return [f"{frame.scene}/{frame.token}" for frame in self.frames]

    @property
    def columns(self) -> Sequence[str]:
        return self.reader.columns()

    def read(self, index: int) -> Cloud:
        import torch

        from pc_ssl.features import Cloud

        return Cloud(self.names[index], torch.from_numpy(self.reader.source(self.frames[index]).read().points))


def _recording(path: Path, columns: str | None, intensity_max: float | None) -> Recording:
    """The recording in a folder.

    Raises:
        UserError: it holds neither a cache nor point files, or an option does not fit.
    """
    from pc_ssl.data.cache import MANIFEST, Cache

    if (path / MANIFEST).is_file():
        if columns is not None or intensity_max is not None:
            raise UsageError(f"--columns, --intensity-max: {path} is a cache, whose columns are named already")
        return CacheRecording(Cache(path))
    from data_prep.folder import FolderReader
    from data_prep.point_options import PointOptions

    named = None if columns is None else tuple(columns.split(","))
    reader = FolderReader(path, PointOptions(columns=named, intensity_max=intensity_max))
    return FolderRecording(reader, reader.frames(None))


def _place(text: str) -> Place:
    """`FRAME@x,y,z` or `FRAME#ROW`.

    Raises:
        UsageError: it has another form.
    """
    from pc_ssl.features import Place

    frame, at, coordinates = text.rpartition("@")
    if at:
        place = numbers(coordinates, "--similar-to", "FRAME@1.5,-3,0")
        if len(place) == 3:
            return Place(frame, xyz=(place[0], place[1], place[2]))
    name, mark, row = text.rpartition("#")
    if not at and mark and row.isdecimal():
        return Place(name, row=int(row))
    raise UsageError(f"--similar-to: got {text!r}, expected FRAME@x,y,z such as 12@1.5,-3,0, or FRAME#ROW")


def _cost(recording: Recording, network: Any) -> str:
    """Frames, time and size, from the first frame."""
    import time

    from pc_ssl.hub import point_features
    from pc_ssl.progress import duration

    count, cloud = len(recording.names), recording.read(0)
    start = time.monotonic()
    found = point_features(network, cloud.points)
    spent = time.monotonic() - start
    size = count * found.numel() * found.element_size() / 1e9
    return (
        f"frames           {count}, the first {cloud.name} with {len(cloud.points)} points\n"
        f"features         {found.shape[1]} a point, about {size:.2g} GB\n"
        f"time             about {duration(count * spent)} for the features, from the first frame"
    )
