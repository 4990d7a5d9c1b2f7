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
    with extra("simulate", "pc-ssl simulate nuscenes"):
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
        train_image_teacher(Cache(cache), out, ImageTeacherOptions(steps or 1200, seed), device=device)
    print(f"teacher          {out}")


def _size(text: str) -> tuple[int, int]:
    """`400x225` -> (400, 225)."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--image-size: {text!r} is not WIDTHxHEIGHT in pixels, such as 400x225")
    return int(width), int(height)
