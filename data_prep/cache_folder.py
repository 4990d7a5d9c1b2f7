"""The folder of a cache in preparation: its lock, journals, manifest and finished frames.

manifest.json              the cache is complete (except the frames listed in failed.json)
unfinished-*.jsonl         journals of shards that are running or were killed
manifest.base.json         while regions are added: the previous manifest
nuscenes_tables.safetensors   of nuScenes: columns of its tables, for later runs
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_prep.journal import JOURNALS, LOCK, WHOLE, Journal, Record, Shard, finishing, read_journals
from data_prep.nuscenes_index import INDEX
from data_prep.options import refuse_other_options
from data_prep.reader import FrameName
from data_prep.report import Failure
from pc_ssl.data.cache import FAILED, MANIFEST, FrameEntry, Manifest, damage_of, read_manifest, write_manifest
from pc_ssl.errors import UserError
from pc_ssl.files import PARTIAL_SUFFIX, write_json
from pc_ssl.progress import track

BASE = "manifest.base.json"
OWN_FILES = (LOCK, BASE, INDEX, FAILED)  # files that may exist before the first frame


class CacheFolder:
    """The folder of a cache to be written, finished or updated.

    Args:
        path: the folder; it need not exist.
        shard: the frames that this process makes.
    """

    def __init__(self, path: Path, shard: Shard = WHOLE) -> None:
        self.path, self.shard = path, shard
        self._journal: Journal | None = None

    def check(self, asked: Mapping[str, Any]) -> None:
        """Check that the folder is, or can become, the requested cache; nothing is changed.

        Raises:
            UserError: it has other content, or is a cache with other options.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: is a file, expected a folder")
        self.check_journals(asked)
        manifest = self.manifest()
        if manifest is not None:
            refuse_other_options(self.path, manifest.options, asked)
        elif self.path.is_dir() and not self._has_journals:
            ours = (path.name.endswith(PARTIAL_SUFFIX) or path.name in OWN_FILES for path in self.path.iterdir())
            if not all(ours):
                raise UserError(f"{self.path}: the folder is neither empty nor a cache; name a new one")

    def check_journals(self, asked: Mapping[str, Any]) -> None:
        """Check that unfinished preparations have the requested options, or have not finished a frame.

        Raises:
            UserError: a journal of finished frames has other options.
        """
        for record in read_journals(self.path).values():
            if record.options is not None and record.entries:
                refuse_other_options(self.path, record.options, asked)

    def manifest(self) -> Manifest | None:
        """The current manifest; also if adding regions was stopped before a frame was changed."""
        if self.is_complete:
            return read_manifest(self.path)
        if (self.path / BASE).is_file() and not self._has_journals:
            return read_manifest(self.path, BASE)
        return None

    def base_manifest(self) -> Manifest:
        """The manifest of the cache before regions are added.

        Raises:
            UserError: the cache is not complete.
        """
        if not self.is_complete and (self.path / BASE).is_file():  # stopped while adding
            return read_manifest(self.path, BASE)
        manifest = read_manifest(self.path)
        if (self.path / FAILED).exists():
            raise UserError(
                f"{self.path / FAILED}: lists missing frames; run the pc-ssl prepare that wrote it "
                "again, or delete this file to continue without them"
            )
        return manifest

    def settled(self) -> Manifest | None:
        """The manifest if no frame is missing and no other shard has a journal: frames then only need a check."""
        other_journals = len(list(self.path.glob(JOURNALS))) > (self._journal is not None)
        unsettled = other_journals or (self.path / FAILED).exists() or (self.path / BASE).exists()
        return None if unsettled or not self.is_complete else read_manifest(self.path)

    @property
    def is_complete(self) -> bool:
        """Whether the manifest exists, which is written last."""
        return (self.path / MANIFEST).is_file()

    @property
    def is_read_only(self) -> bool:
        """Whether the folder cannot be written, as on a read-only disk."""
        return self.path.is_dir() and not os.access(self.path, os.W_OK)

    @property
    def _has_journals(self) -> bool:
        return any(self.path.glob(JOURNALS))

    @contextlib.contextmanager
    def at_work(self, asked: Mapping[str, Any]) -> Iterator[None]:
        """Hold the shard's journal locked: one process works on a shard of a cache at a time.

        Raises:
            UserError: another process works on it, or the folder cannot be written.
        """
        with Journal(self.path, asked, self.shard) as journal:
            self._journal = journal
            try:
                yield
            finally:
                self._journal = None

    def close_settled(self) -> None:
        """Remove the journal, and the lock of a killed run, from a settled cache."""
        with finishing(self.path):
            self._open_journal.path.unlink(missing_ok=True)

    @property
    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("the folder is not at work: with folder.at_work(options): ...")
        return self._journal

    def recorded(self) -> Record:
        """Combined content of the manifest and all journals."""
        state = Record()
        for record in read_journals(self.path).values():
            if self._journal is not None and record.is_void(self._journal.options):
                continue  # of another shard, which starts again with the new options
            state.entries |= record.entries
            state.failures |= record.failures
            state.again |= record.again
        for token in state.entries.keys() | state.again:
            state.failures.pop(token, None)
        if self.is_complete:  # a frame that failed since then was damaged and could not be made again
            listed = {entry.token: entry for entry in read_manifest(self.path).frames}
            state.entries = {t: entry for t, entry in listed.items() if t not in state.failures} | state.entries
        return state

    def known_tokens(self) -> set[str]:
        """Finished frames of all shards."""
        manifest = self.manifest()
        return {entry.token for entry in manifest.frames} if manifest else set(self.recorded().entries)

    def claim(self, frames: Sequence[FrameName], threads: int) -> tuple[list[FrameName], int]:
        """Check this shard's frames.

        Returns:
            the frames to make, and the number of finished, undamaged ones.
        """
        own = self.shard.of(frames)
        self.remove_leftovers([frame.token for frame in own])
        state = self.recorded()
        kept = self.undamaged([state.entries[f.token] for f in own if f.token in state.entries], threads)
        left = [frame for frame in own if frame.token not in kept]
        for frame in left:
            if frame.token in state.failures:
                self._open_journal.add_again(frame.token)
        return left, len(kept)

    def undamaged(self, entries: Sequence[FrameEntry], threads: int) -> dict[str, FrameEntry]:
        """The entries, by token, whose files are equal to the written ones."""
        from joblib import Parallel, delayed

        if not entries:
            return {}
        checks = Parallel(n_jobs=threads, prefer="threads", return_as="generator")(
            delayed(damage_of)(self.path, entry) for entry in entries
        )
        damages = track(checks, total=len(entries), what="checking existing frames")
        return {entry.token: entry for entry, damage in zip(entries, damages, strict=True) if damage is None}

    def remove_leftovers(self, tokens: Sequence[str]) -> None:
        """Delete unfinished files of killed runs of this shard; those of other shards may be in use."""
        own = set(tokens)
        for path in self.path.glob(f"frames/*/*{PARTIAL_SUFFIX}"):
            if self.shard.count == 1 or path.name.partition(".safetensors")[0] in own:
                path.unlink(missing_ok=True)

    def note(self, result: FrameEntry | Failure) -> None:
        """Record a finished frame, whose file is on the disk, or a failed one.

        Raises:
            UserError: the journal cannot be written.
        """
        self._open_journal.add(result)

    def finish(
        self, frames: Sequence[FrameName], manifest_of: Callable[[list[FrameEntry]], Manifest]
    ) -> tuple[list[Failure], int]:
        """Complete the cache if all of its frames are finished or have failed.

        After a kill between any two steps the next run completes the cache. Frames of the cache that are not in
        `frames` are kept, after them.

        Returns:
            the failures of all shards, and the number of missing frames.

        Raises:
            UserError: all frames failed, or the manifest cannot be written.
        """
        out = self.path
        with finishing(out):
            state = self.recorded()
            tokens = {frame.token for frame in frames}
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
            listed += [entry for token, entry in state.entries.items() if token not in tokens]
            if not listed:
                for journal in out.glob(JOURNALS):  # the same folder may be tried with other options
                    journal.unlink(missing_ok=True)
                raise UserError(f"{out}: no frame could be prepared; the first reason: {failures[0].reason}")
            manifest = manifest_of(listed)
            if not self.is_complete or read_manifest(out).to_json() != manifest.to_json():
                write_manifest(out, manifest)
            if not failures:
                (out / FAILED).unlink(missing_ok=True)
            (out / BASE).unlink(missing_ok=True)
            for journal in out.glob(JOURNALS):
                journal.unlink(missing_ok=True)
        return failures, 0

    def begin_adding(self) -> None:
        """Mark the cache as incomplete until regions have been added to all frames."""
        with contextlib.suppress(FileNotFoundError):  # another shard did so
            os.replace(self.path / MANIFEST, self.path / BASE)

    def undo_adding(self) -> None:
        """Undo `begin_adding` if no frame was changed since."""
        if not self.is_complete and self.manifest() is not None:
            os.replace(self.path / BASE, self.path / MANIFEST)

    def free_bytes(self) -> int:
        """Free bytes of its disk."""
        path = self.path.absolute()
        return shutil.disk_usage(next(folder for folder in [path, *path.parents] if folder.exists())).free
