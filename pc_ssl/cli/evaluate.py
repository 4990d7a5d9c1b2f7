"""Commands that judge and show what training left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pc_ssl.cli.app import app, numbers
from pc_ssl.cli.train import CacheFolder, Config, Device, Overrides, ValSplit, WorkDir
from pc_ssl.errors import UsageError


@app.command()
def evaluate(
    config: Config,
    cache: CacheFolder,
    work_dir: WorkDir,
    weights: Annotated[Path, typer.Option(help="weights.safetensors of a probe or a fine-tuning.")],
    split: ValSplit = None,
    annotation_free: Annotated[
        bool, typer.Option("--annotation-free", help="Classify by CLIP2Scene's texts; no label was seen.")
    ] = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Evaluate finished weights, backbone and head.

    Example: `pc-ssl evaluate configs/demo/segmentation.py --cache cache
    --weights work_dirs/finetune/weights.safetensors --work-dir work_dirs/evaluate`
    """
    from pc_ssl.config import load_config
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine.downstream import evaluate

    run, frames = load_config(config, overrides or ()), Cache(cache)
    split = split or frames.default_split("val")
    result = evaluate(run, frames, weights, work_dir, split=split, annotation_free=annotation_free, device=device)
    print(result.summary())


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A cache, or the work folder of a run.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; default: report.html, with --activation activation.png, in FOLDER."),
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="Draw the similarity to --anchor in this frame of --cache, for a pretraining.")
    ] = None,
    anchor: Annotated[str | None, typer.Option(help="x,y,z in metres, LiDAR or room frame.")] = None,
    cache: Annotated[Path | None, typer.Option(help="The cache that holds the frame of --activation.")] = None,
) -> None:
    """Draw a cache or a run: pictures and tables in one self-contained HTML page.

    With --activation, instead a picture of how similar all points are to one, before and after pretraining.

    Example: `pc-ssl report work_dirs/prc`
    """
    if activation is not None or anchor is not None or cache is not None:
        from pc_ssl.data.cache import Cache
        from pc_ssl.report.activation import draw_activation

        if activation is None or anchor is None or cache is None:
            raise UsageError("--activation, --anchor and --cache go together")
        place = numbers(anchor, "--anchor", "1.5,-3,0")
        if len(place) != 3:
            raise UsageError(f"--anchor: {anchor!r} has {len(place)} numbers, expected x,y,z such as 1.5,-3,0")
        print(draw_activation(folder, Cache(cache), activation, (place[0], place[1], place[2]), out))
        return
    from pc_ssl.report.page import report

    print(report(folder, out))
