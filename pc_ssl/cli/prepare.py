"""Commands that make a cache of a recording, and check it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data_prep.readers import READERS, data_sets_with, make_reader
from pc_ssl.cli.app import DryRun, app
from pc_ssl.cli.simulate import Workers
from pc_ssl.errors import UsageError


class Backend(StrEnum):
    """Where frames are prepared: in processes of this machine, or by the workers of a Dask cluster."""

    loky = "loky"
    dask = "dask"


OF_A_DATA_SET = "Options of some data sets"


def _of(option: str, text: str) -> str:
    """Help of an option that only some data sets have."""
    return f"{', '.join(data_sets_with(option))}: {text}"


def _defaults(of: dict[str, str]) -> str:
    """Defaults by data set: the most common one first, as in `dbscan; scannet: graph`."""
    usual = max(of.values(), key=list(of.values()).count)
    return "; ".join([usual, *(f"{name}: {value}" for name, value in of.items() if value != usual)])


REGIONS = _defaults({name: ",".join(data.regions) for name, data in READERS.items()})
GROUND = _defaults({name: data.ground for name, data in READERS.items()})


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=f"One of {', '.join(READERS)}.")],
    root: Annotated[Path, typer.Option(help="The data set's root folder.")],
    out: Annotated[Path, typer.Option(help="Cache to write.")],
    split: Annotated[str | None, typer.Option(help="Prepare this split only, such as `train`.")] = None,
    regions: Annotated[
        str | None,
        typer.Option(help=f"Generators of regions and superpixels, such as `dbscan,slic`. [default: {REGIONS}]"),
    ] = None,
    add_regions: Annotated[
        str | None, typer.Option(help="Add these to a finished cache and leave the rest as it is.")
    ] = None,
    ground: Annotated[
        str | None,
        typer.Option(help=f"How ground is found: strips, patchworkpp, ransac, floor. [default: {GROUND}]"),
    ] = None,
    occlusion: Annotated[
        bool, typer.Option("--occlusion", help="Drop points occluded by a point within 8 px that is 10 % closer.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Set a field of a stage, such as `regions.dbscan.eps=0.5`.")
    ] = None,
    workers: Workers = 1,
    backend: Annotated[
        Backend, typer.Option(help="Where workers run: on this machine, or on a Dask cluster.")
    ] = Backend.loky,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler, such as `tcp://head:8786`.")] = None,
    shard: Annotated[str, typer.Option(help="Do the I-th of N shares of the frames, I/N: one for each job.")] = "1/1",
    dry_run: DryRun = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first frame that fails.")] = False,
    no_images: Annotated[
        bool, typer.Option("--no-images", help=_of("images", "leave images out."), rich_help_panel=OF_A_DATA_SET)
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option(
            help=_of("classes", "TOML file of what other names of categories and attributes stand for."),
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            help=_of("version", "folder of the tables, such as v1.0-trainval."), rich_help_panel=OF_A_DATA_SET
        ),
    ] = None,
    sweeps: Annotated[
        int | None,
        typer.Option(
            help=_of("sweeps", "number of LiDAR sweeps to merge, the keyframe's own included. [default: 1]"),
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = None,
    frame_step: Annotated[
        int | None,
        typer.Option(
            help=_of("frame_step", "take each RGB-D frame whose number is a multiple. [default: 20]"),
            min=1,
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help=_of(
                "columns",
                "names of the columns; - skips one: `x,y,z,intensity,-`. "
                "[default: x,y,z,intensity; nuscenes: and ring]",
            ),
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = None,
    intensity_max: Annotated[
        float | None,
        typer.Option(
            help=_of("intensity_max", "largest intensity that the sensor gives. [default: 1.0; nuscenes: 255]"),
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = None,
    intensity_clip: Annotated[
        bool,
        typer.Option(
            "--intensity-clip",
            help=_of("intensity_clip", "larger intensities count as the largest."),
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = False,
    intensity_tanh: Annotated[
        bool,
        typer.Option(
            "--intensity-tanh",
            help=_of("intensity_tanh", "intensities become tanh(intensity / largest), for sensors without a largest."),
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = False,
    color_max: Annotated[
        float | None,
        typer.Option(
            help=_of("color_max", "full brightness in colours that are floats, such as 255. [default: 1]"),
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = None,
    image_tolerance: Annotated[
        float | None,
        typer.Option(
            help=_of(
                "image_tolerance",
                "seconds that points and their image may be apart, where both are named by their times. "
                "[default: 0.05]",
            ),
            rich_help_panel=OF_A_DATA_SET,
        ),
    ] = None,
) -> None:
    """Turn a recording into a cache that training reads: points, ground, regions, labels, boxes, images, pairs.

    A killed run goes on where it was; what a recording lacks is left out and named. A complete cache is brought up to
    date: new frames are made, splits are renewed. Exit code 3: some frames failed, failed.json says which and why.

    Data sets: `nuscenes` (ROOT holds VERSION and samples), `kitti` (3D object benchmark; ROOT holds training),
    `scannet` (v2; ROOT holds scans), `folder` (SCENE/points/*.bin, .npy, .npz, .ply, .pcd or .las; next to points:
    poses.txt with 12 numbers a line, calibration.json and images/CAMERA/NAME.jpg).

    Example: `pc-ssl prepare nuscenes --root nuscenes --version v1.0-mini --out cache --sweeps 10 --workers 8`

    Example: `pc-ssl prepare folder --root drive --out cache --columns x,y,z,intensity,- --intensity-max 255`
    """
    from data_prep.add_regions import add_regions as add
    from data_prep.add_regions import estimate_adding
    from data_prep.cache_folder import CacheFolder
    from data_prep.jobs import Executor
    from data_prep.journal import Shard
    from data_prep.options import choose_stages
    from data_prep.pipeline import estimate, prepare

    if (backend is Backend.dask) != (scheduler is not None):
        raise UsageError("scheduler: --backend dask and --scheduler ADDRESS go together")
    chosen = {
        "version": version,
        "sweeps": sweeps,
        "frame_step": frame_step,
        "columns": None if columns is None else _names(columns),
        "intensity_max": intensity_max,
        "intensity_clip": True if intensity_clip else None,
        "intensity_tanh": True if intensity_tanh else None,
        "color_max": color_max,
        "image_tolerance": image_tolerance,
        "images": False if no_images else None,
        "classes": None if classes is None else classes.absolute(),
    }
    executor = Executor(workers, scheduler)
    folder = CacheFolder(out.absolute(), Shard.parse(shard))  # absolute: workers of a cluster start elsewhere
    options = {name: value for name, value in chosen.items() if value is not None}
    read_only = dry_run or folder.is_read_only
    data, reader = make_reader(dataset, root.absolute(), options, cache=folder.path, read_only=read_only)
    label_classes = reader.classes()["label"]
    if add_regions is not None:
        if regions is not None or occlusion:
            raise UsageError("add-regions: goes with neither --regions nor --occlusion; the cache knows what it holds")
        added = choose_stages(_names(add_regions), classes=label_classes, settings=settings or ())
        if dry_run:
            print(estimate_adding(reader, added, folder, executor).summary())
            return
        report = add(reader, added, folder, executor, strict=strict)
    else:
        stages = choose_stages(
            data.regions if regions is None else _names(regions),
            ground=ground or data.ground,
            occlusion=occlusion,
            split=split,
            classes=label_classes,
            settings=settings or (),
        )
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
