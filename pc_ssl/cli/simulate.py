"""Commands that write simulated recordings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pc_ssl.cli.app import DryRun, simulate_app
from pc_ssl.errors import UsageError
from pc_ssl.extras import extra


class TeacherKind(StrEnum):
    """The image teachers that `pc-ssl simulate teacher` trains."""

    CLIP = "clip"
    RESNET = "resnet"


Workers = Annotated[int, typer.Option(help="Worker processes; any number gives the same bytes.", min=1)]


@simulate_app.command("nuscenes")
def simulate_nuscenes(
    out: Annotated[Path, typer.Option(help="Data root to write.")],
    scenes: Annotated[int | None, typer.Option(help="Number of scenes. [default: 10]", min=1)] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a split and its number of scenes, such as `train=160`; repeat it for each split, instead "
            "of --scenes. [default: sim_train and sim_val, a fifth]"
        ),
    ] = None,
    keyframes: Annotated[int, typer.Option(help="Keyframes of each scene.", min=1)] = 10,
    keyframe_period: Annotated[
        float, typer.Option(help="Seconds between keyframes; beyond 1.5 the devkit derives no velocities.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    cameras: Annotated[
        str, typer.Option(help="Number of cameras, the nearest to the front first; `none`: no images.")
    ] = "6",
    image_size: Annotated[str, typer.Option(help="Width x height in pixels, such as 1600x900.")] = "400x225",
    beams: Annotated[int, typer.Option(help="Beams of the LiDAR.", min=1)] = 32,
    columns: Annotated[int, typer.Option(help="Firings of the LiDAR per rotation.")] = 1084,
    sweeps: Annotated[int, typer.Option(help="LiDAR sweeps (20 Hz) kept before each keyframe.", min=0)] = 0,
    reach: Annotated[
        float, typer.Option(help="Metres of built area around the ego vehicle's trip; less is faster.")
    ] = 95.0,
    rare_objects: Annotated[
        float,
        typer.Option(
            help="Factor on the numbers of trailers, buses, construction vehicles, cycles, barriers and cones."
        ),
    ] = 1.0,
    workers: Workers = 1,
    dry_run: DryRun = False,
) -> None:
    """Simulate streets with a LiDAR and up to six cameras, as a nuScenes data root that the official devkit loads.

    Example: `pc-ssl simulate nuscenes --out streets --scenes 20 --keyframes 5 --workers 2`

    Example: `pc-ssl simulate nuscenes --out streets --split train=160 --split val=24 --split test=40 --cameras none`
    """
    with extra("simulate", "pc-ssl simulate nuscenes"):
        from data_prep.simulate.nuscenes import SimulateOptions, estimate, simulate_nuscenes

    splits = _split_sizes(split or [], scenes)
    options = SimulateOptions(
        scenes=sum(size for _, size in splits) or scenes or 10,
        keyframes=keyframes,
        seed=seed,
        image_size=_size(image_size),
        beams=beams,
        sweeps=sweeps,
        cameras=_cameras(cameras),
        columns=columns,
        period=keyframe_period,
        reach=reach,
        rare_objects=rare_objects,
        split_sizes=splits,
    )
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
    with extra("simulate", "pc-ssl simulate scannet"):
        from data_prep.simulate.scannet import SimulateOptions, estimate, simulate_scannet

    options = SimulateOptions(rooms, seed, frames, _size(image_size))
    print((estimate if dry_run else simulate_scannet)(out, options, workers=workers).summary())


@simulate_app.command("teacher")
def simulate_teacher(
    cache: Annotated[Path, typer.Option(help="Cache with labels and images, of other scenes than will be taught.")],
    out: Annotated[Path, typer.Option(help="Folder for the model, in the format of transformers.")],
    kind: Annotated[
        TeacherKind,
        typer.Option(help="`clip`: image and text encoder for CLIP2Scene; `resnet`: image network for the others."),
    ] = TeacherKind.CLIP,
    steps: Annotated[
        int | None, typer.Option(help="Steps of training. [default: 600 clip, 1200 resnet]", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, order and sentences.")] = 0,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda` or `auto`.")] = "auto",
) -> None:
    """Train a small image network on the images and classes of a cache, for methods in which images teach points, where
    no published weights are at hand.

    A run that was stopped goes on from its last checkpoint.

    Example: `pc-ssl simulate teacher --cache other-streets --out work_dirs/teacher`
    """
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine.clip_teacher import TeacherOptions, train_clip_teacher
    from pc_ssl.engine.image_teacher import ImageTeacherOptions, train_image_teacher

    if kind is TeacherKind.CLIP:
        train_clip_teacher(Cache(cache), out, TeacherOptions(steps or 600, seed), device=device)
    else:
        result = train_image_teacher(Cache(cache), out, ImageTeacherOptions(steps or 1200, seed), device=device)
        print(f"classes of pixels on the validation split, by the network's own classifier:\n{result.table()}")
    print(f"teacher          {out}")


def _size(text: str) -> tuple[int, int]:
    """`400x225` -> (400, 225)."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--image-size: {text!r} is not WIDTHxHEIGHT in pixels, such as 400x225")
    return int(width), int(height)


def _cameras(text: str) -> int:
    """`none` -> 0, `2` -> 2."""
    if text != "none" and not text.isdecimal():
        raise UsageError(f"--cameras: expected none or a number of cameras, got {text!r}")
    return 0 if text == "none" else int(text)


def _split_sizes(texts: list[str], scenes: int | None) -> tuple[tuple[str, int], ...]:
    """`train=160` -> ("train", 160)."""
    if texts and scenes is not None:
        raise UsageError("--scenes: cannot be combined with --split, which gives the number of scenes of each split")
    sizes = []
    for text in texts:
        name, equals, size = text.rpartition("=")
        if not (name and equals and size.isdecimal()):
            raise UsageError(f"--split: expected NAME=SCENES, such as train=160, got {text!r}")
        sizes.append((name, int(size)))
    return tuple(sizes)
