"""Pretrain a backbone by a config's method on the frames of a cache, without labels.

The work folder holds the files of `engine/train.py` and, once all steps are done, `config.py` (after inheritance
and overrides) and `weights.safetensors`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.cache import ALL_FRAMES, MANIFEST, Cache
from pc_ssl.data.content import check_content, with_images
from pc_ssl.data.dataset import CacheScenes, check_point_features
from pc_ssl.data.facts import facts_of
from pc_ssl.data.sampler import MIN_POINTS, Draw
from pc_ssl.engine.cost import Cost, cost_of
from pc_ssl.engine.distributed import Process, join
from pc_ssl.engine.initial import InitialWeights
from pc_ssl.engine.loader import step_loader
from pc_ssl.engine.log import free_memory, peak_memory
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.step import NonFinite, TrainStep
from pc_ssl.engine.train import describe, make_optimizer, train
from pc_ssl.engine.weights import save_weights
from pc_ssl.engine.work_folder import work_folder
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import CONFIG, WEIGHTS
from pc_ssl.files import sha256_of, write_bytes
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.models.networks import grids_of, networks_of
from pc_ssl.models.voxelize import OutsideGrid
from pc_ssl.progress import duration
from pc_ssl.protocols import Method
from pc_ssl.structures import PointBatch

VIEWS = 2  # views of a frame in a step; contrastive methods have two
DRY_RUN_OPERATIONS = 2e12  # at most, of a step on the CPU: minutes of one core
DRY_RUN_STEPS = 2  # after a first one, in which memory is allocated


@dataclass(frozen=True)
class Pretraining:
    """A config's parts, built: `method` is an nn.Module that is a `Method`."""

    method: Any
    scenes: CacheScenes
    options: TrainOptions


def pretrain(
    config_path: Path,
    cache_path: Path,
    work_dir: Path,
    *,
    split: str | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    dry_run: bool = False,
    init: InitialWeights | None = None,
    device: str = "auto",
) -> None:
    """Pretrain, or with `dry_run` report what that would cost.

    Args:
        config_path: a config with a `method`.
        cache_path: prepared frames that hold the config's regions.
        work_dir: see above.
        split: which scenes to train on; None: the cache's training split.
        overrides: `key=value` on top of the config.
        resume: resume the run in `work_dir`.
        dry_run: count what the networks cost without running them, and time a few
            steps if they fit this machine; nothing is written.
        init: weights of parts of the method, such as its teacher; its `needs_weights` names those that must be given.
        device: "cpu", "cuda" or "auto".

    Raises:
        UserError: config, cache and work folder do not fit together; see also `train`.
    """
    config, cache = load_config(config_path, overrides), Cache(cache_path)
    split = split or _default_split(cache)
    parts, init = build(config, cache, split), init or InitialWeights()
    loaded = init.load(parts.method, parts.method.get_submodule("backbone"), parts.options.seed)
    if dry_run:
        with join(device) as process:
            costs = network_costs(parts)
            if process.is_first:
                for name, cost in costs.items():
                    print(f"{name:16} {cost}")
            reason = too_much(costs.values(), parts.options, process)
            lines = dry_run_report(parts, process) if reason is None else f"time             not measured: {reason}"
            if process.is_first:
                print(lines)
                print(f"split            {split} of {cache.path}")
        return
    settings = {name: value for name, value in config.flat().items() if not name.startswith("train.")}
    settings |= {"cache": sha256_of(cache.path / MANIFEST), "split": split}
    if init.files:
        settings["init"] = init.checksums()
    _check_needed(config, parts.method, init)
    with join(device) as process, work_folder(work_dir, "pretrain", process):
        if process.is_first:
            for part in loaded:
                print(f"init             {part}")
        train(parts.method, parts.scenes, parts.options, work_dir, resume=resume, device=device, settings=settings)
        if process.is_first:
            metadata = {"method": type(parts.method).__name__, "config": config.hash, "cache": settings["cache"]}
            write_bytes(work_dir / CONFIG, config.to_python().encode())
            metadata |= {"split": split, **({"init": str(init)} if init.files else {})}
            save_weights(work_dir / WEIGHTS, parts.method, metadata)
            print(f"weights          {work_dir / WEIGHTS}")


def build(config: RunConfig, cache: Cache, split: str) -> Pretraining:
    """The config's method, initialised from `train.seed`, and its training frames.

    Raises:
        UserError: the config holds no method, or the cache lacks the split, the regions or a feature of the points, or
            anything to learn from.
    """
    if config.kind != "method":
        raise UserError(f"{config.path}: holds a downstream task, expected a `method`")
    options = config.build("train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        method = config.build("method", facts_of(cache))
    rows = with_images(cache, cache.indices(split), method.views.reads, f"split {split}")
    for network in networks_of(method).values():
        if network.point_features is not None:
            check_point_features(cache, network.point_features)
    scenes = CacheScenes(cache, rows, config.region, method.views, config.transforms, grids_of(method), MIN_POINTS)
    check_content(cache, rows, method.views.reads, f"split {split}", config.region)
    return Pretraining(method, scenes, options)


def _check_needed(config: RunConfig, method: Method, init: InitialWeights) -> None:
    """Check that weights are given for the parts of the method that must be pretrained.

    Raises:
        UserError: weights are missing.
    """
    missing = [name for name in method.needs_weights if name not in init.files]
    if missing:
        raise UserError(
            f"{config.path}: {type(method).__name__} needs a pretrained {missing[0]}: give its weights with "
            f"--init {missing[0]}=FILE, the weights.safetensors of its pretraining"
        )


def network_costs(parts: Pretraining) -> dict[str, Cost]:
    """Cost of the method's networks on the first frame, by name, without running them.

    Raises:
        UserError: the frame cannot be read, or the network's grid holds none of its points.
    """
    scene = parts.scenes.scene(0)
    points = PointBatch.pack([scene.points])
    networks = networks_of(parts.method)
    cameras = None
    if any(network.uses_cameras for network in networks.values()):
        cameras = parts.method.collate([parts.scenes[Draw(0, 0, 0)]]).cameras

    def probe_network(network: Any) -> Any:
        if isinstance(network, BevEncoder):
            return network(points, cameras)
        return network(cameras, points) if network.uses_cameras else network(points)

    try:
        return {name: cost_of(network, probe_network) for name, network in networks.items()}
    except OutsideGrid as error:
        raise UserError(f"frames {scene.token}: {error}; are these the grid's units?") from error


def too_much(costs: Iterable[Cost], options: TrainOptions, process: Process) -> str | None:
    """Why a few steps cannot be timed on this machine; None: they can."""
    needed = sum(16 * cost.parameters + VIEWS * options.batch_size * cost.activation_bytes for cost in costs)
    free = free_memory(process.device)
    if needed > free:
        return f"a step needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free on {process.device}"
    operations = 3 * VIEWS * options.batch_size * sum(cost.operations for cost in costs)
    if process.device.type == "cpu" and operations > DRY_RUN_OPERATIONS:
        return f"a step takes about {operations / 1e12:.1f} TFLOPs, too many for {process.device}"
    return None


def dry_run_report(parts: Pretraining, process: Process) -> str:
    """Summary of a run and its cost, in lines, from a few steps on the first batches.

    Raises:
        UserError: a frame cannot be read, or the loss is not finite.
    """
    options, method = parts.options, parts.method.to(process.device).train()
    step = TrainStep(method, make_optimizer(method, options), options, process)
    in_this_process = replace(options, num_workers=0)
    batches = iter(step_loader(parts.scenes, method.collate, in_this_process, process, 0))
    loading, computing = [], []
    for _ in range(1 + min(DRY_RUN_STEPS, options.steps - 1)):
        start = time.perf_counter()
        found = next(batches)
        if isinstance(found, UserError):
            raise found
        loaded, batch = time.perf_counter(), found.batch
        try:
            step(batch)
        except NonFinite as error:
            raise UserError(f"not finite: {error}; frames {', '.join(batch.tokens)}") from error
        if process.device.type == "cuda":
            torch.cuda.synchronize()
        loading.append(loaded - start)
        computing.append(time.perf_counter() - loaded)
    load, compute = min(loading), min(computing)
    # Workers load the next batches while this one is computed; without them each waits for the other.
    seconds = max(compute, load / options.num_workers) if options.num_workers else compute + load
    return "\n".join(
        [
            describe(method, parts.scenes, options, process),
            f"time             {compute:.3g} s to compute a step, {load:.3g} s to load a batch by one of "
            f"{max(options.num_workers, 1)} processes: {duration(seconds * options.steps)} in all",
            f"memory           {peak_memory(process.device) / 2**30:.1f} GiB at most in {len(computing)} steps",
        ]
    )


def _default_split(cache: Cache) -> str:
    """The training split; all frames of a cache without splits, as pretraining needs no labels."""
    if cache.manifest.splits:
        return cache.default_split("train")
    print(f"{cache.path}: the cache has no splits; pretraining on all {len(cache)} frames", file=sys.stderr, flush=True)
    return ALL_FRAMES
