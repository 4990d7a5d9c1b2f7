"""More regions for a finished cache, cut from what the cache itself holds.

The result is, byte for byte, the cache that `prepare` writes when asked for all of the regions at once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.estimate import estimate_cost
from data_prep.folder_state import (
    BASE,
    begin_adding,
    check_journals,
    close_settled,
    finish,
    recorded,
    settled_manifest,
    undamaged,
)
from data_prep.jobs import Job, Pool
from data_prep.journal import WHOLE, Journal, Shard
from data_prep.options import REVISION, PrepareOptions, Recipe, manifest_options, refuse_other_options
from data_prep.pipeline import run_share
from data_prep.reader import FrameName, Reader, Source
from data_prep.report import FAILED, Estimate, PrepareReport
from data_prep.stages import label_map_tensors, region_tensors
from pc_ssl.data.cache import MANIFEST, FrameEntry, Manifest, decode_frame, encode_frame, read_manifest
from pc_ssl.errors import UserError
from pc_ssl.files import inside, read_bytes

ADVICE = "prepare the cache again with all of its regions, which makes damaged frames from the recordings"
KINDS = ("regions", "images")  # the manifest's options that name generators


def add_regions(
    reader: Reader,
    out: Path,
    regions: tuple[str, ...],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    shard: Shard = WHOLE,
    strict: bool = False,
) -> PrepareReport:
    """Add regions to a finished cache, or go on with it. Until all frames have them, the folder is no complete cache.

    Args:
        reader: the data set that the cache was prepared from; its files are read for names of images only.
        out: the cache.
        regions: generators, as in `PrepareOptions`; those that the cache has already are left as they are.
        workers, scheduler, shard, strict: as for `prepare`.

    Raises:
        UserError: `out` is no finished cache, or one of another data set or with another number of sweeps; the disk is
            full; or (`strict`) a frame failed.
        UsageError: workers is not positive, or an unknown generator.
    """
    pool, start = Pool(workers, scheduler), time.monotonic()
    plan = _plan(reader, out, regions)
    base = plan.base
    if base.options != plan.asked:
        begin_adding(out)
    with Journal(out, plan.asked, shard) as journal:
        settled = settled_manifest(out)
        if settled is not None:
            return _checked(out, shard.of(settled.frames), journal, workers, start)
        made, kept, memory = run_share(
            out, plan.frames, plan.job_of, plan.missing, journal, pool=pool, shard=shard, strict=strict
        )
        failures, waiting = finish(out, plan.frames, lambda entries: replace(base, options=plan.asked, frames=entries))
    return PrepareReport(out, made, kept, tuple(failures), waiting, time.monotonic() - start, memory)


def estimate_adding(
    reader: Reader,
    out: Path,
    regions: tuple[str, ...],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    shard: Shard = WHOLE,
) -> Estimate:
    """Add regions to a few frames in memory and say what those that are left will cost; nothing is written.

    The bytes are those of the frames' new files; each takes the place of the one before.

    Raises:
        UserError, UsageError: as for `add_regions`, or no frame could be tried.
    """
    pool, plan = Pool(workers, scheduler), _plan(reader, out, regions)
    if plan.base.options == plan.asked:
        return estimate_cost(out, [], plan.job_of, pool)
    finished = {} if (out / MANIFEST).is_file() else recorded(out).entries  # journals' alone, once adding has begun
    left = [frame for frame in shard.of(plan.frames) if frame.token not in finished]
    return estimate_cost(out, left, plan.job_of, pool)


@dataclass(frozen=True)
class _Plan:
    """What is to be added.

    Args:
        base: the manifest of the cache before.
        asked: the options of the cache afterwards.
        missing: makes the regions that the cache lacks.
        frames: of the cache.
        job_of: how a frame gets them.
    """

    base: Manifest
    asked: dict[str, Any]
    missing: Recipe
    frames: list[FrameName]
    job_of: Callable[[FrameName], Job]


def _plan(reader: Reader, out: Path, regions: tuple[str, ...]) -> _Plan:
    """Raises UserError, UsageError: as `add_regions`; nothing is changed."""
    base = _base_manifest(out)
    selected = reader.options() | {"revision": REVISION}
    refuse_other_options(out, {name: base.options.get(name, "absent") for name in selected}, selected)
    options = PrepareOptions(regions=regions)
    added = manifest_options(reader, options)
    asked = {**base.options, **{kind: {**base.options[kind], **_new(base, added, kind)} for kind in KINDS}}
    check_journals(out, asked)
    recipe = options.recipe(base.classes["label"])
    missing = replace(
        recipe,
        regions={name: generator for name, generator in recipe.regions.items() if name not in base.options["regions"]},
        images={name: generator for name, generator in recipe.images.items() if name not in base.options["images"]},
    )
    frames = [FrameName(entry.token, entry.scene, entry.timestamp_us) for entry in base.frames]
    job_of = partial(_job, reader, out, missing, base, {entry.token: entry for entry in base.frames})
    return _Plan(base, asked, missing, frames, job_of)


def _base_manifest(out: Path) -> Manifest:
    """The manifest of the cache before regions are added."""
    if not (out / MANIFEST).is_file() and (out / BASE).is_file():  # stopped while adding
        return read_manifest(out, BASE)
    manifest = read_manifest(out)
    if (out / FAILED).exists():
        raise UserError(
            f"{out / FAILED}: lists frames that the cache misses; run the pc-ssl prepare that wrote it again, or "
            "delete this file to do without them"
        )
    return manifest


def _new(base: Manifest, added: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {name: value for name, value in added[kind].items() if name not in base.options[kind]}


def _checked(out: Path, own: Sequence[FrameEntry], journal: Journal, workers: int, start: float) -> PrepareReport:
    """The report of a cache that has all of the regions."""
    damaged = len(own) - len(undamaged(out, own, workers))
    close_settled(out, journal.path)
    if damaged:
        raise UserError(f"{out}: has these regions, but {damaged} damaged frames; {ADVICE}")
    return PrepareReport(out, 0, len(own), (), 0, time.monotonic() - start, 0)


def _job(
    reader: Reader, out: Path, recipe: Recipe, base: Manifest, entry_of: Mapping[str, FrameEntry], frame: FrameName
) -> Job:
    """How a frame of the cache becomes one with the regions of `recipe`."""
    source = reader.source(frame) if recipe.images else None
    return Job(frame, partial(_content, out, entry_of[frame.token], recipe, source))


def _content(out: Path, entry: FrameEntry, recipe: Recipe, source: Source | None) -> bytes:
    """The frame's file with more regions."""
    tensors = _tensors_before(inside(out, entry.file), entry, recipe)
    points, ground = tensors["points"], tensors["ground"]
    key_points = int(tensors["keyframe"].sum()) if "keyframe" in tensors else len(points)
    tensors |= region_tensors(np.ascontiguousarray(points[:, :3]), ground, key_points, recipe.regions)
    if source is not None:
        for camera, name in source.read().image_names.items():
            tensors |= label_map_tensors(tensors[f"image/{camera}"].tobytes(), name, camera, recipe.images)
    return encode_frame(tensors)


def _tensors_before(path: Path, entry: FrameEntry, recipe: Recipe) -> dict[str, NDArray]:
    """The tensors that the frame was prepared with. It may have the new ones already, from a run that was killed.

    Raises:
        UserError: the file is missing, or is not the one that was written.
    """
    try:
        tensors = decode_frame(read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); {ADVICE}") from None
    new = {f"region/{name}" for name in recipe.regions}
    new |= {f"{generator.tensor}/{name}" for name, generator in recipe.images.items()}
    kept = {key: tensor for key, tensor in tensors.items() if not new & {key, key.rpartition("/")[0]}}
    if hashlib.sha256(encode_frame(kept)).hexdigest() != entry.sha256:
        raise UserError(f"{path}: is not the file that was written; {ADVICE}")
    return kept
