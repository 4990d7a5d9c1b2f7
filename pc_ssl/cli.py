"""The command line. Each command parses its options and calls one function of the package."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pc_ssl.errors import UsageError, UserError
from pc_ssl.version import __version__

if TYPE_CHECKING:
    from data_prep.reader import Reader
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine import segmentation

app = typer.Typer(
    name="pc-ssl",
    help="Pretrain LiDAR networks without labels, and measure what it bought: recordings, cache, weights, results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
simulate_app = typer.Typer(no_args_is_help=True, help="Write a simulated recording in a real data set's own format.")
prepare_app = typer.Typer(no_args_is_help=True, help="Turn a raw recording into a cache that training reads.")
app.add_typer(simulate_app, name="simulate")
app.add_typer(prepare_app, name="prepare")

Config = Annotated[Path, typer.Argument(help="Config file. It is Python and is executed: use only files you trust.")]
CacheFolder = Annotated[Path, typer.Option("--cache", help="Cache written by `pc-ssl prepare`.")]
WorkDir = Annotated[Path, typer.Option("--work-dir", help="Folder for logs, checkpoints, weights and results.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override a value: `--set train.steps=100`.")]
Init = Annotated[Path | None, typer.Option(help="Pretrained weights. Without it the network starts from scratch.")]
Labels = Annotated[float, typer.Option(help="Labelled share of the training scenes: 1 / n, such as 0.05.")]
TrainSplit = Annotated[str | None, typer.Option(help="Split with the labels. [default: the cache's training split]")]
ValSplit = Annotated[str | None, typer.Option(help="Split to evaluate on. [default: the cache's validation split]")]
LabelOffset = Annotated[int, typer.Option(help="Shift which scenes are labelled; 0 gives the published ones.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and what it costs; write nothing.")]
Device = Annotated[str, typer.Option(help="`cpu`, `cuda` or `auto`.")]
Workers = Annotated[int, typer.Option(help="Worker processes; any number gives the same bytes.", min=1)]
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


def main() -> None:
    """Run the command line: a mistake in the user's input is one line on standard error and exit code 1 or 2."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"pc_ssl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@simulate_app.command("nuscenes")
def simulate_nuscenes(
    out: Annotated[Path, typer.Option(help="Data root to write.")],
    scenes: Annotated[int, typer.Option(help="Number of scenes.", min=1)] = 10,
    keyframes: Annotated[int, typer.Option(help="Keyframes (2 Hz) of each scene.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    image_size: Annotated[str, typer.Option(help="Width x height in pixels, such as 1600x900.")] = "400x225",
    beams: Annotated[int, typer.Option(help="Beams of the LiDAR.", min=1)] = 32,
    sweeps: Annotated[int, typer.Option(help="LiDAR sweeps (20 Hz) kept before each keyframe.", min=0)] = 0,
    workers: Workers = 1,
    dry_run: DryRun = False,
) -> None:
    """Simulate streets with a LiDAR and six cameras, as a nuScenes data root that the official devkit loads.

    Example: `pc-ssl simulate nuscenes --out streets --scenes 20 --keyframes 5 --workers 2`
    """
    from data_prep.simulate.nuscenes import SimulateOptions, estimate, simulate_nuscenes

    options = SimulateOptions(scenes, keyframes, seed, _size(image_size), beams, sweeps)
    print((estimate if dry_run else simulate_nuscenes)(out, options, workers=workers).summary())


@simulate_app.command("scannet")
def simulate_scannet(
    out: Annotated[Path, typer.Option(help="Data root to write.")],
    rooms: Annotated[int, typer.Option(help="Number of rooms.", min=1)] = 10,
    frames: Annotated[int, typer.Option(help="RGB-D frames of each room.", min=0)] = 20,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    image_size: Annotated[str, typer.Option(help="Width x height in pixels, such as 640x480.")] = "320x240",
    workers: Workers = 1,
    dry_run: DryRun = False,
) -> None:
    """Simulate furnished rooms and their RGB-D scans, as a ScanNet v2 data root.

    Example: `pc-ssl simulate scannet --out rooms --rooms 20 --workers 2`
    """
    from data_prep.simulate.scannet import SimulateOptions, estimate, simulate_scannet

    options = SimulateOptions(rooms, seed, frames, _size(image_size))
    print((estimate if dry_run else simulate_scannet)(out, options, workers=workers).summary())


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

    reader = NuScenesReader(root.absolute(), version, sweeps)  # absolute: workers of a cluster start elsewhere
    _prepare(
        *(reader, out, split, regions, add_regions, ground),
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
    workers: int,
    backend: Backend,
    scheduler: str | None,
    shard: str,
    dry_run: bool,
    strict: bool,
) -> None:
    """What the prepare commands have in common."""
    from data_prep.add_regions import add_regions as add
    from data_prep.pipeline import PrepareOptions, Shard, estimate, prepare

    if (backend is Backend.dask) != (scheduler is not None):
        raise UsageError("scheduler: --backend dask and --scheduler ADDRESS go together")
    share, out = Shard.parse(shard), out.absolute()
    if add_regions is not None:
        if regions is not None or dry_run:
            raise UsageError("add-regions: goes with neither --regions nor --dry-run; the cache knows its regions")
        report = add(
            *(reader, out, _names(add_regions)), workers=workers, scheduler=scheduler, shard=share, strict=strict
        )
    else:
        options = PrepareOptions(split, _names(regions or usual_regions), ground)
        if dry_run:
            print(estimate(reader, out, options, workers=workers, scheduler=scheduler, shard=share).summary())
            return
        report = prepare(reader, out, options, workers=workers, scheduler=scheduler, shard=share, strict=strict)
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


@app.command()
def pretrain(
    config: Config,
    cache: CacheFolder,
    work_dir: WorkDir,
    overrides: Overrides = None,
    split: Annotated[str | None, typer.Option(help="Split to train on. [default: the cache's training split]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --work-dir.")] = False,
    dry_run: DryRun = False,
    device: Device = "auto",
) -> None:
    """Pretrain a backbone without labels; leaves weights.safetensors in the work folder.

    Example: `pc-ssl pretrain configs/demo/prc.py --cache cache --work-dir work_dirs/prc --set train.seed=1`
    """
    from pc_ssl.engine.pretrain import pretrain

    pretrain(
        config, cache, work_dir,
        split=split, overrides=overrides or (), resume=resume, dry_run=dry_run, device=device,
    )  # fmt: skip


@app.command()
def probe(
    config: Config,
    cache: CacheFolder,
    work_dir: WorkDir,
    init: Init = None,
    labels: Labels = 1.0,
    label_offset: LabelOffset = 0,
    train_split: TrainSplit = None,
    val_split: ValSplit = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation and of the sampled points.")] = 0,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Freeze a backbone, fit a linear classifier to its features, and report mIoU on the validation scenes.

    Example: `pc-ssl probe configs/demo/segmentation.py --cache cache --init work_dirs/prc/weights.safetensors
    --work-dir work_dirs/probe`
    """
    from pc_ssl.config import load_config
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine.segmentation import probe

    run, frames = load_config(config, overrides or ()), Cache(cache)
    chosen = _labels(frames, labels, label_offset, train_split, val_split)
    print(probe(run, frames, work_dir, init=init, labels=chosen, seed=seed, device=device).summary())


@app.command()
def finetune(
    config: Config,
    cache: CacheFolder,
    work_dir: WorkDir,
    init: Init = None,
    labels: Labels = 1.0,
    label_offset: LabelOffset = 0,
    train_split: TrainSplit = None,
    val_split: ValSplit = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, order and augmentation.")] = 0,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train backbone and head on the labelled share of the scenes, and report mIoU on the validation scenes.

    Example: `pc-ssl finetune configs/demo/segmentation.py --cache cache --init work_dirs/prc/weights.safetensors
    --labels 0.05 --work-dir work_dirs/finetune`
    """
    from pc_ssl.config import load_config
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine.segmentation import finetune

    run, frames = load_config(config, overrides or ()), Cache(cache)
    chosen = _labels(frames, labels, label_offset, train_split, val_split)
    print(finetune(run, frames, work_dir, init=init, labels=chosen, seed=seed, device=device).summary())


@app.command()
def evaluate(
    config: Config,
    cache: CacheFolder,
    work_dir: WorkDir,
    weights: Annotated[Path, typer.Option(help="weights.safetensors of a probe or a fine-tuning.")],
    split: ValSplit = None,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Evaluate finished weights, backbone and head.

    Example: `pc-ssl evaluate configs/demo/segmentation.py --cache cache
    --weights work_dirs/finetune/weights.safetensors --work-dir work_dirs/evaluate`
    """
    from pc_ssl.config import load_config
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine.segmentation import evaluate

    run, frames = load_config(config, overrides or ()), Cache(cache)
    split = split or frames.usual_split("val")
    print(evaluate(run, frames, weights, work_dir, split=split, device=device).summary())


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A cache, or the work folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write; default: report.html in FOLDER.")] = None,
) -> None:
    """Draw a cache or a run: pictures and tables in one self-contained HTML page.

    Example: `pc-ssl report work_dirs/prc`
    """
    from pc_ssl.report.page import report

    print(report(folder, out))


def _labels(
    cache: Cache, fraction: float, offset: int, train_split: str | None, val_split: str | None
) -> segmentation.Labels:
    """Which scenes are trained on with labels and evaluated on; without a split, the cache's usual one."""
    from pc_ssl.engine.segmentation import Labels

    return Labels(
        fraction,
        offset=offset,
        train_split=train_split or cache.usual_split("train"),
        val_split=val_split or cache.usual_split("val"),
    )


def _names(text: str) -> tuple[str, ...]:
    """`dbscan, slic` -> ("dbscan", "slic")."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _size(text: str) -> tuple[int, int]:
    """`400x225` -> (400, 225)."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--image-size: {text!r} is not WIDTHxHEIGHT in pixels, such as 400x225")
    return int(width), int(height)


if __name__ == "__main__":
    main()
