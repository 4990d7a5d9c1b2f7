"""Pretrain a backbone by a config's method on the frames of a cache, without labels.

The work folder keeps what `engine/train.py` leaves there and, once all steps are done, `config.py` (after inheritance
and overrides) and `weights.safetensors`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.engine.distributed import join
from pc_ssl.engine.loader import step_loader
from pc_ssl.engine.log import peak_memory
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.train import describe, train
from pc_ssl.engine.weights import save_weights
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import CONFIG, WEIGHTS
from pc_ssl.files import sha256_of, write_bytes
from pc_ssl.progress import duration

REHEARSED_STEPS = 2  # beside a first one, in which memory is allocated


@dataclass(frozen=True)
class Pretraining:
    """A config's parts, built."""

    method: nn.Module
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
    device: str = "auto",
) -> None:
    """Pretrain, or with `dry_run` say what that would take.

    Args:
        config_path: a config with a `method`.
        cache_path: prepared frames that hold the config's regions.
        work_dir: see above.
        split: which scenes to train on; None: the cache's training split.
        overrides: `key=value` on top of the config.
        resume: go on with the run in `work_dir`.
        dry_run: run a few steps on the data and forget them; nothing is written.
        device: "cpu", "cuda" or "auto".

    Raises:
        UserError: config, cache and work folder do not fit together; see also `train`.
    """
    config, cache = load_config(config_path, overrides), Cache(cache_path)
    split = split or cache.usual_split("train")
    parts = build(config, cache, split)
    if dry_run:
        print(rehearse(parts, device))
        print(f"split            {split} of {cache.path}")
        return
    settings = {name: value for name, value in config.flat().items() if not name.startswith("train.")}
    settings |= {"cache": sha256_of(cache.path / MANIFEST), "split": split}
    with join(device) as process:
        train(parts.method, parts.scenes, parts.options, work_dir, resume=resume, device=device, settings=settings)
        if process.is_first:
            metadata = {"method": type(parts.method).__name__, "config": config.hash, "cache": settings["cache"]}
            write_bytes(work_dir / CONFIG, config.to_python().encode())
            save_weights(work_dir / WEIGHTS, parts.method, metadata | {"split": split})
            print(f"weights          {work_dir / WEIGHTS}")


def build(config: RunConfig, cache: Cache, split: str) -> Pretraining:
    """The config's method, initialised from `train.seed`, and the frames that it sees.

    Raises:
        UserError: the config holds no method, or the cache lacks the split or the regions.
    """
    if config.kind != "method":
        raise UserError(f"{config.path}: holds a downstream task, expected a `method`")
    options = config.build("train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        method = config.build("method")
    return Pretraining(method, CacheScenes(cache, cache.indices(split), config.region, method.views), options)


def rehearse(parts: Pretraining, device: str) -> str:
    """Lines that tell what a run would do, and what it costs, from a few steps on the first batches."""
    with join(device) as process:
        method = parts.method.to(process.device).train()
        batches = iter(step_loader(parts.scenes, method.collate, parts.options, process, 0))  # type: ignore[arg-type]
        seconds = []
        for _ in range(1 + min(REHEARSED_STEPS, parts.options.steps - 1)):
            batch = next(batches)
            if isinstance(batch, UserError):
                raise batch
            start = time.perf_counter()
            method(batch.to(process.device))["loss"].backward()
            if process.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        step = min(seconds)
        memory = peak_memory(process.device) / 2**30
        return "\n".join(
            [
                describe(method, parts.scenes, parts.options, process),
                f"time             {step:.3g} s a step: {duration(step * parts.options.steps)} in all",
                f"memory           {memory:.1f} GiB at most so far",
            ]
        )
