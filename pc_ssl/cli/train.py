"""Commands that train: pretraining, linear probe and fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pc_ssl.cli.app import DryRun, app
from pc_ssl.data.fractions import FractionRule
from pc_ssl.errors import UsageError

if TYPE_CHECKING:
    from pc_ssl.config import RunConfig
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine import labels as engine_labels

Config = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="Name of a config that `pc-ssl configs` lists, or the path of a config file. A file is Python and is "
        "executed: use only files you trust.",
    ),
]
CacheFolder = Annotated[Path, typer.Option("--cache", help="Cache written by `pc-ssl prepare`.")]
WorkDir = Annotated[Path, typer.Option("--work-dir", help="Folder for logs, checkpoints, weights and results.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override a value: `--set train.steps=100`.")]
Init = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=][permuted:]FILE",
        help="Pretrained weights: FILE for the whole backbone, or, repeated, NAME=FILE for its parts "
        "(`lidar=...`, `camera=...`); `openpcdet:FILE`, `mmdet3d:FILE` and the like for a checkpoint of another "
        "framework. `permuted:FILE` permutes the entries of each tensor, a negative control. Without "
        "it the network starts from scratch.",
    ),
]
Labels = Annotated[float, typer.Option(help="Labelled share of the training scenes: 1 / n, such as 0.05.")]
LabelRule = Annotated[
    FractionRule | None,
    typer.Option(
        help="What --labels takes: every n-th scene from the n-th on (slidr), every n-th from the first on (calico), "
        "those of --label-scenes (scannet), or single frames of many scenes with every class (frames). [default: as "
        "the config says]"
    ),
]
LabelSeed = Annotated[int, typer.Option(help="Seed of the labelled frames, with --label-rule frames.", min=0)]
TrainSplit = Annotated[str | None, typer.Option(help="Split with the labels. [default: the cache's training split]")]
ValSplit = Annotated[str | None, typer.Option(help="Split to evaluate on. [default: the cache's validation split]")]
LabelScenes = Annotated[
    Path | None, typer.Option(help="File that names the labelled scenes, such as ScanNet's limited reconstructions.")
]
LabelPoints = Annotated[
    str | None,
    typer.Option(metavar="N|FILE", help="Labelled points of each scene: their number, or ScanNet's file of them."),
]
LabelOffset = Annotated[int, typer.Option(help="Shift which scenes are labelled; 0 gives the published ones.")]


class ProbeProtocolName(Enum):
    """How a probe is fitted."""

    BEST = "best"
    KNN = "knn"
    SLIDR = "slidr"
    SCALR = "scalr"
    SONATA = "sonata"


Device = Annotated[str, typer.Option(help="`cpu`, `cuda` or `auto`.")]


@app.command()
def pretrain(
    config: Config,
    cache: CacheFolder,
    work_dir: WorkDir,
    overrides: Overrides = None,
    init: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Weights of a part of the method, such as `teacher=...`; repeatable."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split to train on. [default: the cache's training split]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --work-dir.")] = False,
    dry_run: DryRun = False,
    device: Device = "auto",
) -> None:
    """Pretrain a backbone without labels; leaves weights.safetensors in the work folder.

    `--dry-run` counts parameters, activations and FLOPs of the networks on a frame of the cache without running them,
    so that it works for networks far too large for this machine; where a step fits it, a few steps are timed too.

    Example: `pc-ssl pretrain demo/prc --cache cache --work-dir work_dirs/prc --set train.seed=1`
    """
    from pc_ssl.engine.initial import InitialWeights
    from pc_ssl.engine.pretrain import pretrain

    pretrain(
        config, cache, work_dir,
        split=split, overrides=overrides or (), resume=resume, dry_run=dry_run, init=InitialWeights.parse(init or ()),
        device=device,
    )  # fmt: skip


@app.command()
def probe(
    config: Config,
    cache: CacheFolder,
    work_dir: WorkDir,
    init: Init = None,
    labels: Labels = 1.0,
    label_offset: LabelOffset = 0,
    label_rule: LabelRule = None,
    label_seed: LabelSeed = 0,
    train_split: TrainSplit = None,
    val_split: ValSplit = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation and of the sampled points.")] = 0,
    protocol: Annotated[
        ProbeProtocolName,
        typer.Option(
            help="`best`: the best linear classifier, found to convergence on standardised features. `knn`: the "
            "classes of the 20 most similar features, weighted. `slidr`, `scalr`, `sonata`: a linear classifier "
            "trained by gradient descent as published there, for `train.steps` of the config."
        ),
    ] = ProbeProtocolName.BEST,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Freeze a backbone, fit a classifier of points to its features, and report mIoU on the validation scenes.

    Example: `pc-ssl probe demo/segmentation --cache cache --init work_dirs/prc/weights.safetensors
    --work-dir work_dirs/probe`
    """
    from pc_ssl.config import load_config
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine.downstream import probe
    from pc_ssl.engine.initial import InitialWeights

    run, frames = load_config(config, overrides or ()), Cache(cache)
    chosen = _labels(run, frames, labels, label_offset, label_rule, label_seed, train_split, val_split)
    print(
        probe(
            run,
            frames,
            work_dir,
            init=InitialWeights.parse(init or ()),
            labels=chosen,
            seed=seed,
            device=device,
            protocol=None if protocol is ProbeProtocolName.BEST else protocol.value,
        ).summary()
    )


@app.command()
def finetune(
    config: Config,
    cache: CacheFolder,
    work_dir: WorkDir,
    init: Init = None,
    labels: Labels = 1.0,
    label_offset: LabelOffset = 0,
    label_rule: LabelRule = None,
    label_seed: LabelSeed = 0,
    label_scenes: LabelScenes = None,
    label_points: LabelPoints = None,
    train_split: TrainSplit = None,
    val_split: ValSplit = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, order and augmentation.")] = 0,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train backbone and head on the labelled share of the scenes, and report the score on the validation scenes:
    mIoU of points or of the map, or NDS and mAP of boxes, as the config's task is.

    Example: `pc-ssl finetune demo/segmentation --cache cache --init work_dirs/prc/weights.safetensors
    --labels 0.05 --work-dir work_dirs/finetune`
    """
    from pc_ssl.config import load_config
    from pc_ssl.data.cache import Cache
    from pc_ssl.engine.downstream import finetune
    from pc_ssl.engine.initial import InitialWeights

    run, frames = load_config(config, overrides or ()), Cache(cache)
    chosen = replace(
        _labels(run, frames, labels, label_offset, label_rule, label_seed, train_split, val_split),
        scene_list=label_scenes,
        points=_number_or_file(label_points),
    )
    print(
        finetune(
            run, frames, work_dir, init=InitialWeights.parse(init or ()), labels=chosen, seed=seed, device=device
        ).summary()
    )


def _labels(
    config: RunConfig, cache: Cache, fraction: float, offset: int, rule: FractionRule | None,
    label_seed: int, train_split: str | None, val_split: str | None,
) -> engine_labels.Labels:  # fmt: skip
    """Which scenes are trained on with labels and evaluated on; without a split, the cache's default split."""
    from pc_ssl.engine.labels import Labels

    return Labels(
        fraction,
        rule=rule or config.label_rule,
        offset=offset,
        label_seed=label_seed,
        train_split=train_split or cache.default_split("train"),
        val_split=val_split or cache.default_split("val"),
    )


def _number_or_file(text: str | None) -> int | Path | None:
    """`20` -> 20, `points20` -> Path("points20").

    Raises:
        UsageError: a number below 1.
    """
    if text is None:
        return None
    if not text.removeprefix("-").isdecimal():
        return Path(text)
    if int(text) < 1:
        raise UsageError(f"label-points: {text} is not positive; give the number of labelled points of each scene")
    return int(text)
