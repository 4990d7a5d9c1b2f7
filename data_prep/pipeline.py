"""From a data set to a cache: processes, files, retries; what happens to one frame stands in stages.py.

    report = prepare(NuScenesReader(root, "v1.0-mini"), Path("cache"), PrepareOptions(regions=("dbscan",)), workers=4)

Frames are independent, so any number of workers and shards writes the same bytes. Each is written whole or not at all
and noted in a journal; the manifest comes last. Killed at any moment and started again, the run checks what is there
and does the rest. A frame that cannot be prepared is noted in failed.json with the reason; the next run tries it again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from data_prep.estimate import estimate_cost
from data_prep.folder_state import (
    check_folder,
    close_settled,
    current_manifest,
    finish,
    recorded,
    remove_leftovers,
    settled_manifest,
    undamaged,
    undo_adding,
)
from data_prep.jobs import Job, Outcome, Pool, write
from data_prep.journal import WHOLE, Journal, Shard
from data_prep.options import PrepareOptions, Recipe, manifest_options
from data_prep.reader import FrameName, Reader, Source
from data_prep.report import Estimate, Failure, PrepareReport
from data_prep.stages import frame_tensors
from pc_ssl.data.cache import FrameEntry, Manifest, encode_frame, frame_file
from pc_ssl.errors import UserError
from pc_ssl.progress import track

MIN_FRAMES_FOR_ETA = 20  # fewer take less time than an estimate is worth

__all__ = ["Estimate", "PrepareOptions", "PrepareReport", "Shard", "estimate", "prepare"]


def prepare(
    reader: Reader,
    out: Path,
    options: PrepareOptions,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    shard: Shard = WHOLE,
    strict: bool = False,
) -> PrepareReport:
    """Write a cache, or finish one.

    Args:
        reader: the data set.
        out: the cache's folder: new, empty, or one of an earlier run with the same options.
        options: what it shall hold.
        workers: number of processes.
        scheduler: address of a Dask scheduler whose workers make the frames instead.
        shard: the share of the frames to do; the last of all shards completes the cache.
        strict: stop at the first frame that fails, without a manifest.

    Raises:
        UserError: `out` holds something else, the disk is full or will be, a table is damaged, no frame could be
            prepared, or (`strict`) one could not.
        UsageError: workers is not positive, or the split is unknown.
    """
    pool, start = Pool(workers, scheduler), time.monotonic()
    asked = manifest_options(reader, options)
    check_folder(out, asked)
    undo_adding(out)

    def manifest_of(entries: list[FrameEntry]) -> Manifest:
        scenes = {entry.scene for entry in entries}
        splits = {name: [scene for scene in of if scene in scenes] for name, of in reader.splits().items()}
        return Manifest(
            dataset=asked["dataset"],
            version=asked["version"],
            options=asked,
            classes=reader.classes(),
            splits={name: of for name, of in splits.items() if of},
            frames=entries,
            columns=reader.columns(),
        )

    with Journal(out, asked, shard) as journal:
        settled = settled_manifest(out)
        if settled is not None:
            own = shard.of(settled.frames)
            remove_leftovers(out, shard, [entry.token for entry in own])
            if len(undamaged(out, own, workers)) == len(own):
                close_settled(out, journal.path)
                return PrepareReport(out, 0, len(own), (), 0, time.monotonic() - start, 0)
        frames = reader.frames(options.split)
        _warn_missing_files(reader)
        recipe = options.recipe(reader.classes()["label"])
        made, kept, memory = run_share(
            out, frames, partial(_job, reader, recipe), recipe, journal, pool=pool, shard=shard, strict=strict
        )
        failures, waiting = finish(out, frames, manifest_of)
    return PrepareReport(out, made, kept, tuple(failures), waiting, time.monotonic() - start, memory)


def estimate(
    reader: Reader,
    out: Path,
    options: PrepareOptions,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    shard: Shard = WHOLE,
) -> Estimate:
    """Prepare a few frames in memory and say what those that are left will cost; nothing is written.

    Raises:
        UserError: no frame could be tried, or `out` holds a cache with other options.
        UsageError: as for `prepare`.
    """
    pool = Pool(workers, scheduler)
    asked = manifest_options(reader, options)
    check_folder(out, asked)
    manifest = current_manifest(out)
    known = {entry.token for entry in manifest.frames} if manifest else recorded(out).entries.keys()
    frames = [frame for frame in shard.of(reader.frames(options.split)) if frame.token not in known]
    _warn_missing_files(reader)
    job_of = partial(_job, reader, options.recipe(reader.classes()["label"]))
    return estimate_cost(out, frames, job_of, pool)


def run_share(
    out: Path,
    frames: Sequence[FrameName],
    job_of: Callable[[FrameName], Job],
    recipe: Recipe,
    journal: Journal,
    *,
    pool: Pool,
    shard: Shard,
    strict: bool,
) -> tuple[int, int, int]:
    """Make what is missing of a shard's frames, and note them in its journal.

    Returns:
        how many frames were made, how many were there, and the most memory that a process held that made some.

    Raises:
        UserError: the disk is full or will be, or (`strict`) a frame failed.
    """
    own = shard.of(frames)
    remove_leftovers(out, shard, [frame.token for frame in own])
    state = recorded(out)
    entries = [state.entries[frame.token] for frame in own if frame.token in state.entries]
    kept = undamaged(out, entries, pool.workers)
    left = [frame for frame in own if frame.token not in kept]
    for frame in left:
        if frame.token in state.failures:
            journal.add_again(frame.token)
    if not pool.is_this_process:
        recipe.compile()
    if len(left) >= MIN_FRAMES_FOR_ETA:
        cost = estimate_cost(out, left, job_of, pool)
        print(cost.summary(), file=sys.stderr, flush=True)
        if cost.bytes > cost.free_bytes:
            raise UserError(
                f"{out}: the frames need about {cost.bytes / 1e9:.1f} GB, but only {cost.free_bytes / 1e9:.1f} GB of "
                "the disk are free; nothing was prepared"
            )
    made = memory = 0
    outcomes = pool.map(write, ((job_of(frame), out) for frame in left), len(left))
    for outcome in track(outcomes, total=len(left), what="preparing"):
        made += _take(outcome, journal, strict)
        memory = max(memory, outcome.memory_bytes)
    return made, len(kept), memory


def _take(outcome: Outcome, journal: Journal, strict: bool) -> bool:
    """Note what became of a frame; whether it was made."""
    result = outcome.result
    if isinstance(result, Failure):
        if strict:
            raise UserError(f"frame {result.token} of {result.scene}: {result.reason}")
        print(f"frame {result.token} of {result.scene} failed: {result.reason}", file=sys.stderr, flush=True)
    journal.add(result)
    return not isinstance(result, Failure)


def _job(reader: Reader, recipe: Recipe, frame: FrameName) -> Job:
    """How a frame is made; a table that lacks something it needs is told when the job is done, as its failure."""
    try:
        frame_file(frame.scene, frame.token)
        return Job(frame, partial(_content, reader.source(frame), recipe))
    except UserError as error:
        return Job(frame, partial(_fail, str(error)))


def _content(source: Source, recipe: Recipe) -> bytes:
    """The frame's file."""
    return encode_frame(frame_tensors(source.read(), recipe.ground, recipe.regions, recipe.images, recipe.occlusion))


def _fail(reason: str) -> bytes:
    raise UserError(reason)


def _warn_missing_files(reader: Reader) -> None:
    absent = reader.absent()
    if absent:
        print(f"not in this data set: {', '.join(absent)}", file=sys.stderr, flush=True)
