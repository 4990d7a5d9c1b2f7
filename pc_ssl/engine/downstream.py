"""Downstream runs: linear probe, fine-tuning, and evaluation of trained weights.

A run leaves `weights.safetensors`, `config.py` and `result.json` in its work folder, the result last and atomically: a
folder without it holds no finished run. A second run with the same settings returns that result; one with other
settings is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pc_ssl.config import RunConfig
from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.data.content import check_content, with_images
from pc_ssl.data.dataset import CacheScenes, check_point_features, needed_tensors
from pc_ssl.data.facts import facts_of
from pc_ssl.data.requirements import check_frames
from pc_ssl.data.sampler import MIN_POINTS
from pc_ssl.engine.batches import Transforms, evaluation_batches
from pc_ssl.engine.distributed import join
from pc_ssl.engine.initial import InitialWeights
from pc_ssl.engine.knn_probe import KNN, KnnProbe
from pc_ssl.engine.labels import Labels
from pc_ssl.engine.segmentation import fit_probe, head_from_texts
from pc_ssl.engine.tasks import task_kind
from pc_ssl.engine.train import train
from pc_ssl.engine.trained_probe import PROTOCOLS, train_probe
from pc_ssl.engine.validation import validation_rows
from pc_ssl.engine.weights import load_backbone, load_head, save_weights
from pc_ssl.engine.work_folder import work_folder
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import CONFIG, WEIGHTS, Result, RunResult, finished
from pc_ssl.files import sha256_of, write_bytes
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.networks import grids_of


@dataclass(frozen=True)
class Fitted:
    """What training or fitting a task gives.

    Args:
        statistics: for `RunResult.fit`.
        evaluate: (rows, transforms) -> result, in place of the task's own prediction; such a run has no weights to
            keep. None: the task is fitted.
    """

    statistics: dict[str, Any]
    evaluate: Callable[[Sequence[int], Transforms], Result] | None = None


def probe(
    config: RunConfig,
    cache: Cache,
    work_dir: Path,
    *,
    init: InitialWeights | None = None,
    labels: Labels | None = None,
    seed: int = 0,
    device: str = "auto",
    protocol: str | None = None,
) -> RunResult:
    """Fit a classifier to the frozen backbone's features, and evaluate it.

    Args:
        config: a segmentation `task`; its backbone must be that of the weights.
        cache: prepared frames with labels.
        work_dir: folder for result and weights.
        init: weights to start from; None: initialised from `seed`.
        labels: splits and labelled fraction; None: all training scenes.
        seed: of initialisation and of sampled points.
        device: "cpu", "cuda" or "auto".
        protocol: None fits the optimal linear classifier (`heads/linear_probe.py`); a name of PROTOCOLS trains one as
            published (`engine/trained_probe.py`); KNN classifies by the nearest labelled features
            (`engine/knn_probe.py`), and leaves no weights.

    Raises:
        UserError: task, settings, weights or cache do not match, or the work folder holds the result of another run.
    """

    labels = labels or Labels()

    def fit(task: Any, rows: Sequence[int], val_rows: Sequence[int], device: torch.device, _: dict[str, Any]) -> Fitted:
        if not isinstance(task, SegmentationTask):
            raise UserError(
                f"{config.path}: task is {type(task).__name__}; a linear probe classifies points and needs a "
                "SegmentationTask: use finetune"
            )
        transforms = labels.transforms(seed)
        if protocol == KNN:
            nearest = KnnProbe(task, cache, seed, device)
            return Fitted(nearest.fit(rows, transforms), nearest.evaluate)
        if protocol is None:
            return Fitted(fit_probe(task, cache, rows, seed, device, transforms))
        published = PROTOCOLS[protocol]
        every = (*config.transforms, *transforms)
        return Fitted(train_probe(config, task, cache, rows, seed, device, published, every))

    extra = {} if protocol is None else {"protocol": protocol}
    return _run("probe", fit, config, cache, work_dir, init or InitialWeights(), labels, seed, device, extra)


def finetune(
    config: RunConfig,
    cache: Cache,
    work_dir: Path,
    *,
    init: InitialWeights | None = None,
    labels: Labels | None = None,
    seed: int = 0,
    device: str = "auto",
) -> RunResult:
    """Train backbone and head together on the labelled scenes with the config's `train` options, and evaluate.

    Arguments and errors are those of `probe`, for any task of `engine/tasks.py`; `seed` is also that of data order and
    augmentation. A stopped run resumes from its last checkpoint. With `train.validate_every` the weights are those of
    the best score on `labels.val_split`, and `RunResult.fit["validation"]` holds steps and scores; a test then needs
    another split (`evaluate`).
    """

    labels = labels or Labels()

    def fit(
        task: Any, rows: Sequence[int], val_rows: Sequence[int], device: torch.device, settings: dict[str, Any]
    ) -> Fitted:
        if labels.points is not None and not isinstance(task, SegmentationTask):
            raise UserError(f"{config.path}: task is {type(task).__name__}; labelled points are for SegmentationTask")
        options = replace(config.build("train"), seed=seed)
        drawn = task_kind(config, task).rows(task, cache, rows, seed)
        transforms = (*config.transforms, *labels.transforms(seed))
        scenes = CacheScenes(cache, drawn, None, task.views, transforms, grids_of(task), MIN_POINTS)
        validated = train(
            task, scenes, options, work_dir / "train", resume=True, device=device.type, settings=settings,
            validate=lambda: evaluate_task(
                config, task, cache, validation_rows(val_rows, options), device, None, config.evaluation_transforms,
                quiet=True,
            ),
        )  # fmt: skip
        scores = {} if validated is None else {"validation": validated.as_dict()}
        return Fitted({"steps": options.steps, **scores})

    return _run("finetune", fit, config, cache, work_dir, init or InitialWeights(), labels, seed, device)


def evaluate(
    config: RunConfig,
    cache: Cache,
    weights: Path,
    work_dir: Path,
    *,
    split: str = "val",
    annotation_free: bool = False,
    device: str = "auto",
) -> RunResult:
    """Evaluate trained weights, backbone and head, on a split of the cache.

    With `annotation_free`, the weights are those of a pretraining with text embeddings (CLIP2Scene), and each point
    gets the class of the nearest text embedding; labels are used for evaluation only.

    Raises:
        UserError: config, weights or cache do not match, or the work folder holds the result of another run.
    """
    settings: dict[str, Any] = {"command": "evaluate", "config": config.hash, "cache": sha256_of(cache.path / MANIFEST),
                "weights": sha256_of(weights), "val_split": split}  # fmt: skip
    if annotation_free:
        settings["annotation_free"] = True
    before = _reused(work_dir, settings)
    if before is not None:
        return before
    task = (load_annotation_free if annotation_free else load_task)(config, cache, weights)
    rows = _usable(task, cache, cache.indices(split), split)
    with join(device) as process, work_folder(work_dir, "evaluate", process):
        start = time.monotonic()
        folder, changes = work_dir if process.is_first else None, config.evaluation_transforms
        result = evaluate_task(config, task, cache, rows, process.device, folder, changes)
        run = RunResult(
            settings=settings,
            paths={"config": str(config.path), "cache": str(cache.path), "weights": str(weights)},
            scenes=(),
            num_train_frames=0,
            fit={},
            result=result,
            seconds={"evaluate": time.monotonic() - start},
            num_split_frames=len(cache.indices(split)) + cache.num_failed(split),
        )
        if process.is_first:
            _write(run, config, work_dir)
    return run


def build_task(config: RunConfig, cache: Cache, seed: int) -> Any:
    """The config's task, initialised from `seed`; the global random state does not change.

    Raises:
        UserError: the config holds no task or an unknown one, or one whose classes, point features or maps are not
            those of the cache.
    """
    if config.kind != "task":
        raise UserError(f"{config.path}: holds a pretraining method, expected a `task`")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        task = config.build("task", facts_of(cache))
    task_kind(config, task).check(config, task, cache)
    if task.backbone.point_features is not None:
        check_point_features(cache, task.backbone.point_features)
    return task


def load_task(config: RunConfig, cache: Cache, weights: Path) -> Any:
    """The config's task with the backbone and the head of `weights`.

    Raises:
        UserError: the weights are those of another network, or the config does not match the cache.
    """
    task = build_task(config, cache, seed=0)
    load_backbone(weights, task.get_submodule("backbone"))
    load_head(weights, task.get_submodule("head"))
    return task


def load_annotation_free(config: RunConfig, cache: Cache, weights: Path) -> SegmentationTask:
    """The config's task with the backbone of a pretraining with texts, and the head made of these.

    Raises:
        UserError: the task is not a segmentation of points, the weights are those of another network or hold no texts,
            or the config does not match the cache.
    """
    task = build_task(config, cache, seed=0)
    if not isinstance(task, SegmentationTask):
        raise UserError(f"{config.path}: task is {type(task).__name__}; texts classify points: SegmentationTask")
    load_backbone(weights, task.get_submodule("backbone"))
    head_from_texts(task, cache, weights)
    return task


def evaluate_task(
    config: RunConfig,
    task: nn.Module,
    cache: Cache,
    rows: Sequence[int],
    device: torch.device,
    folder: Path | None = None,
    transforms: Transforms = (),
    quiet: bool = False,
) -> Result:
    """Evaluate the task's predictions for the frames `rows`.

    Args:
        config: for error messages.
        task: trained.
        cache: prepared frames with the task's ground truth.
        rows: of the cache.
        device: to compute on.
        folder: folder for further files, such as predictions in the data set's format; None: not written.
        transforms: applied to the evaluated scenes, such as dropped beams.
        quiet: show no progress.

    Raises:
        UserError: a frame lacks ground truth, or no frame has any.
    """
    task.to(device).eval()
    batches = evaluation_batches(task, cache, rows, device, transforms, quiet=quiet)
    return task_kind(config, task).evaluate(task, cache, batches, folder)


def _run(
    command: str,
    fit: Callable[[Any, Sequence[int], Sequence[int], torch.device, dict[str, Any]], Fitted],
    config: RunConfig,
    cache: Cache,
    work_dir: Path,
    init: InitialWeights,
    labels: Labels,
    seed: int,
    device: str,
    extra: Mapping[str, Any] | None = None,
) -> RunResult:
    settings = {**_settings(command, config, cache, init, labels, seed), **(extra or {})}
    before = _reused(work_dir, settings)
    if before is not None:
        return before
    task, labelled = build_task(config, cache, seed), labels.rows(cache)
    scenes = labels.scenes_of(cache, labelled)
    rows = _usable(task, cache, labelled, labels.train_split)
    val_rows = _usable(task, cache, cache.indices(labels.val_split), labels.val_split)
    backbone = task.get_submodule("backbone")
    loaded = init.load(backbone, backbone, seed)
    with join(device) as process, work_folder(work_dir, command, process):
        if process.is_first:
            for part in loaded:
                print(f"{command} {part}")
            if not loaded:
                print(f"{command} from scratch: no --init given")
            of = f"{labels.fraction:g} of the training {labels.unit}"
            print(f"labelled: {len(scenes)} scenes, {len(rows)} frames, {of}")
        start = time.monotonic()
        fitted = fit(task, rows, val_rows, process.device, settings)
        trained = time.monotonic()
        folder, changes = work_dir if process.is_first else None, config.evaluation_transforms
        if fitted.evaluate is None:
            result = evaluate_task(config, task, cache, val_rows, process.device, folder, changes)
        else:
            result = fitted.evaluate(val_rows, changes)
        run = RunResult(
            settings=settings,
            paths={"config": str(config.path), "cache": str(cache.path), "init": str(init) or None},
            scenes=scenes,
            frames=tuple(cache.frames[row].token for row in rows) if labels.selects_frames else (),
            num_train_frames=len(rows),
            fit=fitted.statistics,
            result=result,
            seconds={"fit": trained - start, "evaluate": time.monotonic() - trained},
            num_split_frames=len(cache.indices(labels.val_split)) + cache.num_failed(labels.val_split),
            initial=tuple(part.as_dict() for part in loaded),
        )
        if process.is_first:
            if fitted.evaluate is None:
                save_weights(work_dir / WEIGHTS, task, {name: str(value) for name, value in settings.items()})
            _write(run, config, work_dir)
    return run


def _usable(task: Any, cache: Cache, rows: Sequence[int], split: str) -> list[int]:
    """Those of the frames that the task can be trained or judged on.

    Raises:
        UserError: none is, one lacks what the task reads, or there is nothing to learn from or to judge in any.
    """
    reads, what = task.views.reads, f"split {split}"
    usable = with_images(cache, rows, reads, what)
    check_frames(cache, usable, partial(needed_tensors, reads, None))
    check_content(cache, usable, reads, what)
    return usable


def _write(run: RunResult, config: RunConfig, work_dir: Path) -> None:
    write_bytes(work_dir / CONFIG, config.to_python().encode())
    run.write(work_dir)


def _reused(work_dir: Path, settings: dict[str, Any]) -> RunResult | None:
    before = finished(work_dir, settings)
    if before is not None:
        print(f"{work_dir}: already holds the result of these settings; nothing was run")
    return before


def _settings(
    command: str, config: RunConfig, cache: Cache, init: InitialWeights, labels: Labels, seed: int
) -> dict[str, Any]:
    return {
        "command": command,
        "config": config.hash,
        "cache": sha256_of(cache.path / MANIFEST),
        "init": init.checksums(),
        **labels.settings(),
        "seed": seed,
    }
