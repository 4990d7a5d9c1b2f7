"""Commands that make a cache of a recording, and check it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pc_ssl.cli.app import DryRun, app, prepare_app
from pc_ssl.cli.simulate import Workers
from pc_ssl.errors import UsageError

if TYPE_CHECKING:
    from data_prep.reader import Reader

Out = Annotated[Path, typer.Option(help="Cache to write.")]
Split = Annotated[str | None, typer.Option(help="Prepare this split only, such as `train`.")]
Regions = Annotated[
    str | None, typer.Option(help="Generators of regions and superpixels, such as `dbscan,slic`. [default: dbscan]")
]
RoomRegions = Annotated[
    str | None, typer.Option("--regions", help="Generators of regions and superpixels. [default: graph]")
]
AddRegions = Annotated[str | None, typer.Option(help="Add these to a finished cache and leave the rest as it is.")]
Ground = Annotated[str, typer.Option(help="How ground is found: strips, patchworkpp, ransac, or floor in rooms.")]
Occlusion = Annotated[
    bool,
    typer.Option("--occlusion", help="Pair pixels only with points that none within 8 pixels, 10 % nearer, hides."),
]
Scheduler = Annotated[str | None, typer.Option(help="Dask scheduler, such as `tcp://head:8786`.")]
ShardText = Annotated[
    str, typer.Option("--shard", help="Do the I-th of N shares of the frames, I/N: one for each job of an array.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first frame that fails.")]


class Backend(StrEnum):
    """Where frames are prepared: in processes of this machine, or by the workers of a Dask cluster."""

    loky = "loky"
    dask = "dask"


BackendName = Annotated[Backend, typer.Option(help="Where workers run: on this machine, or on a Dask cluster.")]


@prepare_app.command("nuscenes")
def prepare_nuscenes(
    root: Annotated[Path, typer.Option(help="nuScenes data root, the folder that holds VERSION and samples.")],
    version: Annotated[str, typer.Option(help="Folder of the tables, such as v1.0-trainval.")],
    out: Out,
    split: Split = None,
    sweeps: Annotated[int, typer.Option(help="Merge so many LiDAR sweeps, the keyframe's own included.")] = 1,
    regions: Regions = None,
    add_regions: AddRegions = None,
    ground: Ground = "strips",
    occlusion: Occlusion = False,
    workers: Workers = 1,
    backend: BackendName = Backend.loky,
    scheduler: Scheduler = None,
    shard: ShardText = "1/1",
    dry_run: DryRun = False,
    strict: Strict = False,
) -> None:
    """Prepare nuScenes keyframes: points, ground, regions, labels, boxes, maps, images and point-pixel pairs.

    A killed run goes on where it was. Exit code 3: some frames failed, failed.json says which and why.

    Example: `pc-ssl prepare nuscenes --root nuscenes --version v1.0-mini --out cache --sweeps 10 --workers 8`
    """
    from data_prep.nuscenes import NuScenesReader
    from data_prep.nuscenes_index import INDEX

    # absolute: workers of a cluster start elsewhere
    index = out.absolute() / INDEX
    reader = NuScenesReader(root.absolute(), version, sweeps, index=index, keep_index=not dry_run)
    _prepare(
        *(reader, out, split, regions, add_regions, ground),
        occlusion=occlusion,
        workers=workers,
        backend=backend,
        scheduler=scheduler,
        shard=shard,
        dry_run=dry_run,
        strict=strict,
    )


@prepare_app.command("scannet")
def prepare_scannet(
    root: Annotated[Path, typer.Option(help="ScanNet v2 data root, the folder that holds scans.")],
    out: Out,
    split: Split = None,
    frame_step: Annotated[int, typer.Option(help="Take each RGB-D frame whose number is a multiple.", min=1)] = 20,
    regions: RoomRegions = None,
    add_regions: AddRegions = None,
    ground: Ground = "floor",
    workers: Workers = 1,
    backend: BackendName = Backend.loky,
    scheduler: Scheduler = None,
    shard: ShardText = "1/1",
    dry_run: DryRun = False,
    strict: Strict = False,
) -> None:
    """Prepare ScanNet rooms: points with colours and normals, labels, instances, boxes, segments, RGB-D views.

    What a scene lacks is left out. Segments of the data set itself come as region/segment.

    Example: `pc-ssl prepare scannet --root scannet --out cache --workers 8`
    """
    from data_prep.scannet import ScanNetReader

    reader = ScanNetReader(root.absolute(), frame_step)
    _prepare(
        *(reader, out, split, regions, add_regions, ground),
        usual_regions="graph",
        workers=workers,
        backend=backend,
        scheduler=scheduler,
        shard=shard,
        dry_run=dry_run,
        strict=strict,
    )


@prepare_app.command("folder")
def prepare_folder(
    root: Annotated[Path, typer.Option(help="Folder with SCENE/points/*.bin, .npy, .npz, .ply, .pcd or .las.")],
    out: Out,
    columns: Annotated[
        str | None,
        typer.Option(help="What the columns are; - skips one: `x,y,z,intensity,-`. [default: x,y,z,intensity]"),
    ] = None,
    intensity_max: Annotated[float, typer.Option(help="Largest intensity that the sensor gives.")] = 1.0,
    split: Split = None,
    regions: Regions = None,
    add_regions: AddRegions = None,
    ground: Ground = "strips",
    occlusion: Occlusion = False,
    workers: Workers = 1,
    backend: BackendName = Backend.loky,
    scheduler: Scheduler = None,
    shard: ShardText = "1/1",
    dry_run: DryRun = False,
    strict: Strict = False,
) -> None:
    """Prepare files of points, one a frame, with optional poses, images and calibration beside them.

    Beside SCENE/points: poses.txt (12 numbers a line), calibration.json and images/CAMERA/NAME.jpg.

    Example: `pc-ssl prepare folder --root drive --out cache --columns x,y,z,intensity,- --intensity-max 255`
    """
    from data_prep.folder import FolderReader

    reader = FolderReader(root.absolute(), None if columns is None else _names(columns), intensity_max)
    _prepare(
        *(reader, out, split, regions, add_regions, ground),
        occlusion=occlusion,
        workers=workers,
        backend=backend,
        scheduler=scheduler,
        shard=shard,
        dry_run=dry_run,
        strict=strict,
    )


@prepare_app.command("kitti")
def prepare_kitti(
    root: Annotated[Path, typer.Option(help="Root of KITTI's 3D object benchmark, the folder that holds training.")],
    out: Out,
    split: Split = None,
    regions: Regions = None,
    add_regions: AddRegions = None,
    ground: Ground = "strips",
    occlusion: Occlusion = False,
    workers: Workers = 1,
    backend: BackendName = Backend.loky,
    scheduler: Scheduler = None,
    shard: ShardText = "1/1",
    dry_run: DryRun = False,
    strict: Strict = False,
) -> None:
    """Prepare KITTI's 3D object benchmark: points, the left colour image, boxes.

    Example: `pc-ssl prepare kitti --root kitti --out cache --split train --workers 8`
    """
    from data_prep.kitti import KittiReader

    _prepare(
        *(KittiReader(root.absolute()), out, split, regions, add_regions, ground),
        occlusion=occlusion,
        workers=workers,
        backend=backend,
        scheduler=scheduler,
        shard=shard,
        dry_run=dry_run,
        strict=strict,
    )


def _prepare(
    reader: Reader,
    out: Path,
    split: str | None,
    regions: str | None,
    add_regions: str | None,
    ground: str,
    *,
    usual_regions: str = "dbscan",
    occlusion: bool = False,
    workers: int,
    backend: Backend,
    scheduler: str | None,
    shard: str,
    dry_run: bool,
    strict: bool,
) -> None:
    """What the prepare commands have in common."""
    from data_prep.add_regions import add_regions as add
    from data_prep.add_regions import estimate_adding
    from data_prep.cache_folder import CacheFolder
    from data_prep.jobs import Executor
    from data_prep.journal import Shard
    from data_prep.options import choose_stages
    from data_prep.pipeline import estimate, prepare

    if (backend is Backend.dask) != (scheduler is not None):
        raise UsageError("scheduler: --backend dask and --scheduler ADDRESS go together")
    executor, folder = Executor(workers, scheduler), CacheFolder(out.absolute(), Shard.parse(shard))
    classes = reader.classes()["label"]
    if add_regions is not None:
        if regions is not None or occlusion:
            raise UsageError("add-regions: goes with neither --regions nor --occlusion; the cache knows what it holds")
        added = choose_stages(_names(add_regions), classes=classes)
        if dry_run:
            print(estimate_adding(reader, added, folder, executor).summary())
            return
        report = add(reader, added, folder, executor, strict=strict)
    else:
        names = _names(regions or usual_regions)
        stages = choose_stages(names, ground=ground, occlusion=occlusion, split=split, classes=classes)
        if dry_run:
            print(estimate(reader, stages, folder, executor).summary())
            return
        report = prepare(reader, stages, folder, executor, strict=strict)
    print(report.summary())
    raise typer.Exit(report.exit_code)


@app.command()
def verify(
    cache: Annotated[Path, typer.Argument(help="Cache written by `pc-ssl prepare`.")],
    regions: Annotated[bool, typer.Option("--regions", help="Then measure how well regions fit objects.")] = False,
) -> None:
    """Check a cache: checksums, shapes, finite values, ids in range. Exit code 1: it names each bad file and why.

    With --regions also, of each generator of a sound cache: regions per frame, their sizes, share of points covered,
    boxes with a region of their own, purity, and the best mIoU that one class per region can reach.
    """
    from pc_ssl.data.verify import verify

    report = verify(cache)
    print(report.summary())
    if regions and not report.problems:
        from pc_ssl.data.cache import Cache
        from pc_ssl.evaluation.region_quality import quality_table, region_quality

        print(quality_table(region_quality(Cache(cache))))
    raise typer.Exit(report.exit_code)


def _names(text: str) -> tuple[str, ...]:
    """`dbscan, slic` -> ("dbscan", "slic")."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
