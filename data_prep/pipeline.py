"""Preparation of a cache from a data set. The stages of a frame are in stages.py, their execution in jobs.py.

    reader, stages = NuScenesReader(root, "v1.0-mini"), choose_stages(("dbscan",))
    report = prepare(reader, stages, CacheFolder(Path("cache")), Executor(workers=4))

Frames are independent, so any number of workers and shards writes the same bytes. Each is written atomically
and recorded in a journal; the manifest is written last. A run that is killed and started again checks the existing
frames and makes the others. A frame that fails is recorded in failed.json with the reason; the next run tries it again.
A complete cache is updated to its data set: new frames are made, splits and lists are renewed.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from data_prep.cache_folder import CacheFolder
from data_prep.estimate import estimate_cost
from data_prep.jobs import Content, Executor, Job, Outcome, write
from data_prep.options import manifest_options
from data_prep.point_files.columns import ColumnsError
from data_prep.reader import FrameName, Reader, Source
from data_prep.report import Estimate, Failure, PrepareReport
from data_prep.stages import Stages
from pc_ssl.data.cache import FrameEntry, Manifest, frame_file
from pc_ssl.errors import UserError
from pc_ssl.progress import track

DAMAGED_DEPTH = "views with a damaged depth image"
FIRST_FRAMES = 3  # read before the others: if all of them contradict the named columns, nothing is prepared
MIN_FRAMES_FOR_ETA = 20  # fewer do not take long enough to need an estimate

__all__ = ["CacheFolder", "Estimate", "Executor", "Plan", "PrepareReport", "estimate", "prepare", "run"]


@dataclass(frozen=True)
class Plan:
    """The work of one run.

    Args:
        frames: all frames of the cache.
        job_of: frame -> its job.
        stages: stages of the frames.
        manifest: of the finished cache, without frames.
        damage_advice: advice for damaged frames of a complete cache; None: they are made again.
    """

    frames: Sequence[FrameName]
    job_of: Callable[[FrameName], Job]
    stages: Stages
    manifest: Manifest
    damage_advice: str | None = None

    @property
    def scheme(self) -> Manifest:
        """The manifest without frames."""
        return self.manifest

    def manifest_of(self, entries: Sequence[FrameEntry]) -> Manifest:
        """The manifest of a cache of these frames; splits list only its scenes."""
        scenes = {entry.scene for entry in entries}
        splits = {name: [scene for scene in of if scene in scenes] for name, of in self.manifest.splits.items()}
        return replace(self.manifest, splits={name: of for name, of in splits.items() if of}, frames=tuple(entries))


def prepare(
    reader: Reader, stages: Stages, folder: CacheFolder, executor: Executor | None = None, *, strict: bool = False
) -> PrepareReport:
    """Write, finish or update a cache.

    Args:
        reader: the data set.
        stages: stages of the frames.
        folder: folder of the cache: new, empty, or of an earlier run with the same options.
        executor: runs the jobs; None: this process.
        strict: stop at the first frame that fails, without a manifest.

    Raises:
        UserError: the folder has other content, the disk is full or too small, a table is damaged, no frame could be
            prepared, or (`strict`) a frame failed.
        UsageError: the split is unknown.
    """
    executor, asked = executor or Executor(), manifest_options(reader, stages)
    folder.check(asked)
    if folder.is_read_only:
        return _check_on_read_only_disk(_plan(reader, stages, asked), folder, executor)
    folder.undo_adding()
    with folder.at_work(asked):
        return run(_plan(reader, stages, asked), folder, executor, strict=strict)


def estimate(reader: Reader, stages: Stages, folder: CacheFolder, executor: Executor | None = None) -> Estimate:
    """Prepare a few frames in memory and estimate the cost of the remaining ones; nothing is written.

    Raises:
        UserError: no frame could be prepared, or the folder holds a cache with other options.
        UsageError: as for `prepare`.
    """
    asked = manifest_options(reader, stages)
    folder.check(asked)
    plan, known = _plan(reader, stages, asked), folder.known_tokens()
    left = [frame for frame in folder.shard.of(plan.frames) if frame.token not in known]
    executor = executor or Executor()
    return estimate_cost(left, plan.job_of, executor, folder.free_bytes(), executor.outside_this_process())


def _plan(reader: Reader, stages: Stages, asked: dict) -> Plan:
    """Raises UserError: see `prepare`; or a scene's name cannot be that of a folder, or the columns are others."""
    manifest = Manifest(
        dataset=asked["dataset"],
        version=asked["version"],
        options=asked,
        classes=reader.classes(),
        splits=reader.splits(),
        frames=(),
        columns=reader.columns(),
    )
    frames = reader.frames(stages.read.split)
    _check_names(frames)
    _check_columns(reader, frames)
    _warn_missing_files(reader)
    return Plan(frames, partial(_job, reader, stages), stages, manifest)


def run(plan: Plan, folder: CacheFolder, executor: Executor, *, strict: bool) -> PrepareReport:
    """Make the missing frames of a shard, and complete the cache if no shard has missing frames.

    Args:
        plan: the work.
        folder: locked by `CacheFolder.at_work`.
        executor, strict: as for `prepare`.

    Raises:
        UserError: as for `prepare`.
    """
    start = time.monotonic()
    settled = folder.settled()
    vanished = _vanished(plan, settled)
    if settled is not None and _is_up_to_date(plan, settled):
        own = folder.shard.of(settled.frames)
        folder.remove_leftovers([entry.token for entry in own])
        damaged = len(own) - len(folder.undamaged(own, executor.workers))
        if not damaged or plan.damage_advice is not None:
            folder.close_settled()
        if damaged and plan.damage_advice is not None:
            raise UserError(f"{folder.path}: {damaged} frames are damaged; {plan.damage_advice}")
        if not damaged:
            return PrepareReport(folder.path, 0, len(own), (), 0, time.monotonic() - start, 0, vanished)
    left, kept = folder.claim(plan.frames, executor.workers)
    outcomes = _make(left, plan, folder, executor, strict)
    failures, waiting = folder.finish(plan.frames, plan.manifest_of)
    return PrepareReport(
        out=folder.path,
        prepared=sum(not isinstance(outcome.result, Failure) for outcome in outcomes),
        kept=kept,
        failures=tuple(failures),
        waiting=waiting,
        seconds=time.monotonic() - start,
        memory_bytes=max((outcome.memory_bytes for outcome in outcomes), default=0),
        vanished=vanished,
        without_regions=dict(Counter(name for outcome in outcomes for name in outcome.without_regions)),
        left_out=dict(sum((Counter(outcome.left_out) for outcome in outcomes), Counter())),
    )


def _make(
    left: Sequence[FrameName], plan: Plan, folder: CacheFolder, executor: Executor, strict: bool
) -> list[Outcome]:
    """Make frames and record the results."""
    if not executor.is_this_process:
        plan.stages.compile()
    if len(left) >= MIN_FRAMES_FOR_ETA:
        cost = estimate_cost(left, plan.job_of, executor, folder.free_bytes())
        print(cost.summary(), file=sys.stderr, flush=True)
        if cost.bytes > cost.free_bytes:
            raise UserError(
                f"{folder.path}: the frames need about {cost.bytes / 1e9:.1f} GB, but only "
                f"{cost.free_bytes / 1e9:.1f} GB are free on the disk; nothing was prepared"
            )
    outcomes = []
    results = executor.map(write, ((plan.job_of(frame), folder.path) for frame in left), len(left))
    for outcome in track(results, total=len(left), what="preparing"):
        result = outcome.result
        if isinstance(result, Failure):
            if strict:
                raise UserError(f"frame {result.token} of {result.scene}: {result.reason}")
            print(f"frame {result.token} of {result.scene} failed: {result.reason}", file=sys.stderr, flush=True)
        folder.note(result)
        outcomes.append(outcome)
    return outcomes


def _is_up_to_date(plan: Plan, settled: Manifest) -> bool:
    """Whether the cache has all frames of the data set, with their current splits and lists."""
    listed = {frame.token for frame in plan.frames}
    own = [entry for entry in settled.frames if entry.token in listed]
    same_order = [entry.token for entry in own] == [frame.token for frame in plan.frames]
    return same_order and plan.manifest_of(settled.frames).to_json() == settled.to_json()


def _vanished(plan: Plan, settled: Manifest | None) -> tuple[str, ...]:
    """Frames of the cache that are no longer in the data set."""
    listed = {frame.token for frame in plan.frames}
    return tuple(entry.token for entry in settled.frames if entry.token not in listed) if settled else ()


def _check_on_read_only_disk(plan: Plan, folder: CacheFolder, executor: Executor) -> PrepareReport:
    """The report of a complete cache.

    Raises:
        UserError: the cache is not complete or frames are damaged, and it cannot be written.
    """
    start, settled = time.monotonic(), folder.settled()
    if settled is None or not _is_up_to_date(plan, settled):
        raise UserError(f"{folder.path}: is read-only, but not complete with these options")
    own = folder.shard.of(settled.frames)
    damaged = len(own) - len(folder.undamaged(own, executor.workers))
    if damaged:
        raise UserError(f"{folder.path}: is read-only, but {damaged} of {len(own)} frames are damaged")
    return PrepareReport(folder.path, 0, len(own), (), 0, time.monotonic() - start, 0, _vanished(plan, settled))


def _check_names(frames: Sequence[FrameName]) -> None:
    """Reject names of scenes and tokens that are invalid in the cache, before any frame is made.

    Raises:
        UserError: a name has a character that is not allowed in file names, such as a blank.
    """
    for frame in frames:
        try:
            frame_file(frame.scene, frame.token)
        except UserError as error:
            raise UserError(f"{error}; rename it, nothing was prepared") from None


def _check_columns(reader: Reader, frames: Sequence[FrameName]) -> None:
    """Check the named columns and scales on the first frames, instead of reporting them for each frame.

    Raises:
        UserError: the first frames all contradict them; the error of the first one.
    """
    reasons = []
    for frame in frames[:FIRST_FRAMES]:
        try:
            reader.source(frame).read()
        except ColumnsError as error:
            reasons.append(error)
        except UserError:  # a damaged frame is reported with its job
            return
        else:
            return
    if reasons:
        raise UserError(f"{reasons[0]}; nothing was prepared")


def _job(reader: Reader, stages: Stages, frame: FrameName) -> Job:
    """The job of a frame; missing entries of tables are reported as the failure of the job."""
    try:
        return Job(frame, partial(_content, reader.source(frame), stages))
    except UserError as error:
        return Job(frame, partial(_fail, str(error)))


def _content(source: Source, stages: Stages) -> Content:
    """The frame's file."""
    raw = source.read()
    tensors = stages(raw)
    unpaired = sum(f"pixel/{name}" not in tensors for name in raw.cameras)
    left_out = {**raw.left_out, **({DAMAGED_DEPTH: unpaired} if unpaired else {})}
    return Content.of(stages.encode(tensors), tensors, left_out)


def _fail(reason: str) -> Content:
    raise UserError(reason)


def _warn_missing_files(reader: Reader) -> None:
    absent = reader.absent()
    if absent:
        print(f"not in this data set: {', '.join(absent)}", file=sys.stderr, flush=True)
