"""Adding regions to a finished cache, computed from the cache.

The result equals, byte for byte, the cache that `prepare` writes with all of the regions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.cache_folder import CacheFolder
from data_prep.estimate import estimate_cost
from data_prep.jobs import Content, Executor, Job
from data_prep.options import REVISION, manifest_options, refuse_other_options
from data_prep.pipeline import Plan, run
from data_prep.reader import FrameName, Reader, Source
from data_prep.report import Estimate, PrepareReport
from data_prep.stages import Stages
from pc_ssl.data.cache import FrameEntry, Manifest, decode_frame
from pc_ssl.errors import UserError
from pc_ssl.files import inside, read_bytes

ADVICE = "prepare the cache again with all of its regions, which makes damaged frames from the recordings"
KINDS = ("regions", "images")  # options of the manifest that list generators


def add_regions(
    reader: Reader, stages: Stages, folder: CacheFolder, executor: Executor | None = None, *, strict: bool = False
) -> PrepareReport:
    """Add regions to a finished cache, or resume doing so. The cache is incomplete until all frames have them.

    Args:
        reader: the data set that the cache was prepared from; its files are only read for names of images.
        stages: generators of regions and images to add; the cache's existing ones are not changed.
        folder: the cache.
        executor, strict: as for `prepare`.

    Raises:
        UserError: the folder is not a finished cache of this data set and number of sweeps; the disk is full; or
            (`strict`) a frame failed.
    """
    plan = _plan(reader, stages, folder)
    if folder.base_manifest().options != plan.manifest.options:
        folder.begin_adding()
    with folder.at_work(plan.manifest.options):
        return run(plan, folder, executor or Executor(), strict=strict)


def estimate_adding(reader: Reader, stages: Stages, folder: CacheFolder, executor: Executor | None = None) -> Estimate:
    """Add regions to a few frames in memory and estimate the cost of the remaining ones; nothing is written.

    The bytes are those of the new files, each of which replaces the old one.

    Raises:
        UserError, UsageError: as for `add_regions`, or no frame could be prepared.
    """
    executor, plan = executor or Executor(), _plan(reader, stages, folder)
    if folder.base_manifest().options == plan.manifest.options:
        return estimate_cost([], plan.job_of, executor, folder.free_bytes())
    finished = {} if folder.is_complete else folder.recorded().entries  # of journals only, if adding has begun
    left = [frame for frame in folder.shard.of(plan.frames) if frame.token not in finished]
    return estimate_cost(left, plan.job_of, executor, folder.free_bytes())


def _plan(reader: Reader, stages: Stages, folder: CacheFolder) -> Plan:
    """The work. Raises UserError, UsageError: as `add_regions`; nothing is changed."""
    base = folder.base_manifest()
    selected = reader.options() | {"revision": REVISION}
    refuse_other_options(folder.path, {name: base.options.get(name, "absent") for name in selected}, selected)
    added = manifest_options(reader, stages)
    asked = {**base.options, **{kind: {**base.options[kind], **_new(base, added, kind)} for kind in KINDS}}
    folder.check_journals(asked)
    missing = replace(
        stages,
        regions={name: generator for name, generator in stages.regions.items() if name not in base.options["regions"]},
        images={name: generator for name, generator in stages.images.items() if name not in base.options["images"]},
    )
    frames = [FrameName(entry.token, entry.scene, entry.timestamp_us) for entry in base.frames]
    job_of = partial(_job, reader, folder.path, missing, {entry.token: entry for entry in base.frames})
    return Plan(frames, job_of, missing, replace(base, options=asked), damage_advice=ADVICE)


def _new(base: Manifest, added: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {name: value for name, value in added[kind].items() if name not in base.options[kind]}


def _job(reader: Reader, out: Path, stages: Stages, entry_of: Mapping[str, FrameEntry], frame: FrameName) -> Job:
    """The job that adds the regions of `stages` to a frame of the cache."""
    source = reader.source(frame) if stages.images else None
    return Job(frame, partial(_content, out, entry_of[frame.token], stages, source))


def _content(out: Path, entry: FrameEntry, stages: Stages, source: Source | None) -> Content:
    """The frame's file with added regions."""
    tensors = _tensors_before(inside(out, entry.file), entry, stages)
    points, ground = tensors["points"], tensors["ground"]
    key_points = int(tensors["keyframe"].sum()) if "keyframe" in tensors else len(points)
    added = stages.cut(np.ascontiguousarray(points[:, :3]), ground, key_points)
    tensors |= added
    if source is not None:
        for camera, name in source.read().image_names.items():
            if f"image/{camera}" in tensors:
                tensors |= stages.segment(tensors[f"image/{camera}"].tobytes(), name, camera)
    return Content.of(stages.encode(tensors), added, {})


def _tensors_before(path: Path, entry: FrameEntry, stages: Stages) -> dict[str, NDArray]:
    """The frame's tensors without the added regions, which an interrupted run may have written already.

    Raises:
        UserError: the file is missing, or differs from the written one.
    """
    try:
        tensors = decode_frame(read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); {ADVICE}") from None
    new = {f"region/{name}" for name in stages.regions}
    new |= {f"{generator.tensor}/{name}" for name, generator in stages.images.items()}
    kept = {key: tensor for key, tensor in tensors.items() if not new & {key, key.rpartition("/")[0]}}
    if hashlib.sha256(stages.encode(kept)).hexdigest() != entry.sha256:
        raise UserError(f"{path}: differs from the written file (damaged); {ADVICE}")
    return kept
