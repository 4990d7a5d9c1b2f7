"""What stands in a cache's folder between the first frame and the manifest, and how a preparation ends.

manifest.json              the cache is complete (failed.json beside it: but for the frames listed there)
unfinished-*.jsonl         journals of shards that are at work, or were killed
manifest.base.json         while regions are being added: the manifest of the cache before
nuscenes_tables.safetensors   of nuScenes: columns of its tables, for later runs
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_prep.journal import JOURNALS, LOCK, Record, Shard, finishing, read_journals
from data_prep.nuscenes_index import INDEX
from data_prep.options import refuse_other_options
from data_prep.reader import FrameName
from data_prep.report import FAILED, Failure
from pc_ssl.data.cache import MANIFEST, FrameEntry, Manifest, damage_of, read_manifest, write_manifest
from pc_ssl.errors import UserError
from pc_ssl.files import PARTIAL_SUFFIX, write_json
from pc_ssl.progress import track

BASE = "manifest.base.json"


def check_folder(out: Path, asked: Mapping[str, Any]) -> None:
    """Look whether `out` may become, or is, the cache that is asked for; nothing is changed.

    Raises:
        UserError: it belongs to something else, or to a cache with other options.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file, expected a folder")
    check_journals(out, asked)
    manifest = current_manifest(out)
    if manifest is not None:
        refuse_other_options(out, manifest.options, asked)
    elif out.is_dir() and not any(out.glob(JOURNALS)):
        ours = (path.name.endswith(PARTIAL_SUFFIX) or path.name in (LOCK, BASE, INDEX) for path in out.iterdir())
        if not all(ours):
            raise UserError(f"{out}: the folder is neither empty nor a cache; name a new one")


def check_journals(out: Path, asked: Mapping[str, Any]) -> None:
    """Look whether preparations that were begun in `out` are what is asked for.

    Raises:
        UserError: one has other options.
    """
    for record in read_journals(out).values():
        if record.options is not None:
            refuse_other_options(out, record.options, asked)


def current_manifest(out: Path) -> Manifest | None:
    """The manifest of the cache as it is; also if adding regions was stopped before the first frame was touched."""
    if (out / MANIFEST).is_file():
        return read_manifest(out)
    if (out / BASE).is_file() and not any(out.glob(JOURNALS)):
        return read_manifest(out, BASE)
    return None


def settled_manifest(out: Path) -> Manifest | None:
    """The manifest if no frame is missing and no other shard left a journal: then frames need no more than a check."""
    other_journals = len(list(out.glob(JOURNALS))) > 1
    if other_journals or (out / FAILED).exists() or (out / BASE).exists() or not (out / MANIFEST).is_file():
        return None
    return read_manifest(out)


def close_settled(out: Path, journal: Path) -> None:
    """Leave a settled cache as it was: without a journal, and without the lock of a run that was killed at its end."""
    with finishing(out):
        journal.unlink(missing_ok=True)


def recorded(out: Path) -> Record:
    """What the manifest and all journals say together."""
    state = Record()
    for record in read_journals(out).values():
        state.entries |= record.entries
        state.failures |= record.failures
        state.again |= record.again
    for token in state.entries.keys() | state.again:
        state.failures.pop(token, None)
    if (out / MANIFEST).is_file():  # a frame that failed since is one that was damaged and could not be made again
        listed = {entry.token: entry for entry in read_manifest(out).frames if entry.token not in state.failures}
        state.entries = listed | state.entries
    return state


def undamaged(out: Path, entries: Sequence[FrameEntry], workers: int) -> dict[str, FrameEntry]:
    """The entries, by token, whose files are, byte for byte, what was written."""
    from joblib import Parallel, delayed

    if not entries:
        return {}
    checks = Parallel(n_jobs=workers, prefer="threads", return_as="generator")(
        delayed(damage_of)(out, entry) for entry in entries
    )
    damages = track(checks, total=len(entries), what="checking what is there")
    return {entry.token: entry for entry, damage in zip(entries, damages, strict=True) if damage is None}


def remove_leftovers(out: Path, shard: Shard, tokens: Sequence[str]) -> None:
    """Delete the unfinished files that killed runs of this shard left; those of others may be in use."""
    own = set(tokens)
    for path in out.glob(f"frames/*/*{PARTIAL_SUFFIX}"):
        if shard.count == 1 or path.name.partition(".safetensors")[0] in own:
            path.unlink(missing_ok=True)


def finish(
    out: Path, frames: Sequence[FrameName], manifest_of: Callable[[list[FrameEntry]], Manifest]
) -> tuple[list[Failure], int]:
    """Complete the cache if all of its frames are finished or have failed.

    A kill between any two steps leaves what the next run completes.

    Returns:
        the failures, of all shards, and how many frames are still missing.

    Raises:
        UserError: no frame at all could be prepared, or the manifest cannot be written.
    """
    with finishing(out):
        state = recorded(out)
        failures = [state.failures[frame.token] for frame in frames if frame.token in state.failures]
        listed = [state.entries[frame.token] for frame in frames if frame.token in state.entries]
        missing = len(frames) - len(listed) - len(failures)
        if missing:
            return failures, missing
        for name in (MANIFEST, FAILED, INDEX):
            for partial in out.glob(f"{name}.*{PARTIAL_SUFFIX}"):
                partial.unlink()
        if failures:
            write_json(out / FAILED, [asdict(failure) for failure in failures])
        if not listed:
            raise UserError(f"{out}: no frame could be prepared; the first reason: {failures[0].reason}")
        manifest = manifest_of(listed)
        if not (out / MANIFEST).is_file() or read_manifest(out).to_json() != manifest.to_json():
            write_manifest(out, manifest)
        if not failures:
            (out / FAILED).unlink(missing_ok=True)
        (out / BASE).unlink(missing_ok=True)
        for journal in out.glob(JOURNALS):
            journal.unlink(missing_ok=True)
    return failures, 0


def begin_adding(out: Path) -> None:
    """From here on the folder is no complete cache, until the regions are added to all frames."""
    with contextlib.suppress(FileNotFoundError):  # another shard has done it
        os.replace(out / MANIFEST, out / BASE)


def undo_adding(out: Path) -> None:
    """Take back `begin_adding` if no frame was touched since."""
    if not (out / MANIFEST).is_file() and current_manifest(out) is not None:
        os.replace(out / BASE, out / MANIFEST)
