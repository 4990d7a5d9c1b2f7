"""A cache's folder while it is prepared: its lock, journals and manifest, which frames are finished, and how it ends.

manifest.json              the cache is complete (failed.json beside it: but for the frames listed there)
unfinished-*.jsonl         journals of shards that are at work, or were killed
manifest.base.json         while regions are being added: the manifest of the cache before
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
from data_prep.report import FAILED, Failure
from pc_ssl.data.cache import MANIFEST, FrameEntry, Manifest, damage_of, read_manifest, write_manifest
from pc_ssl.errors import UserError
from pc_ssl.files import PARTIAL_SUFFIX, write_json
from pc_ssl.progress import track

BASE = "manifest.base.json"
OWN_FILES = (LOCK, BASE, INDEX)  # that may be there before the first frame


class CacheFolder:
    """The folder of a cache that is to be made, finished or brought up to date.

    Args:
        path: the folder; it need not exist.
        shard: the share of the frames that this process makes.
    """

    def __init__(self, path: Path, shard: Shard = WHOLE) -> None:
        self.path, self.shard = path, shard
        self._journal: Journal | None = None

    def check(self, asked: Mapping[str, Any]) -> None:
        """Look whether the folder may become, or is, the cache that is asked for; nothing is changed.

        Raises:
            UserError: it belongs to something else, or to a cache with other options.
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
        """Look whether preparations that were begun here are what is asked for.

        Raises:
            UserError: one has other options.
        """
        for record in read_journals(self.path).values():
            if record.options is not None:
                refuse_other_options(self.path, record.options, asked)

    def manifest(self) -> Manifest | None:
        """The manifest of the cache as it is; also if adding regions was stopped before a frame was touched."""
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
                f"{self.path / FAILED}: lists frames that the cache misses; run the pc-ssl prepare that wrote it "
                "again, or delete this file to do without them"
            )
        return manifest

    def settled(self) -> Manifest | None:
        """The manifest if no frame is missing and no other shard left a journal: then frames need only a check."""
        other_journals = len(list(self.path.glob(JOURNALS))) > (self._journal is not None)
        unsettled = other_journals or (self.path / FAILED).exists() or (self.path / BASE).exists()
        return None if unsettled or not self.is_complete else read_manifest(self.path)

    @property
    def is_complete(self) -> bool:
        """Whether the manifest is there, which is written last."""
        return (self.path / MANIFEST).is_file()

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written, as on a disk that is mounted so."""
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
        """Leave a settled cache as it was: without a journal, and without the lock of a run that was killed."""
        with finishing(self.path):
            self._open_journal.path.unlink(missing_ok=True)

    @property
    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("the folder is not at work: with folder.at_work(options): ...")
        return self._journal

    def recorded(self) -> Record:
        """What the manifest and all journals say together."""
        state = Record()
        for record in read_journals(self.path).values():
            state.entries |= record.entries
            state.failures |= record.failures
            state.again |= record.again
        for token in state.entries.keys() | state.again:
            state.failures.pop(token, None)
        if self.is_complete:  # a frame that failed since is one that was damaged and could not be made again
            listed = {entry.token: entry for entry in read_manifest(self.path).frames}
            state.entries = {t: entry for t, entry in listed.items() if t not in state.failures} | state.entries
        return state

    def known_tokens(self) -> set[str]:
        """Frames that are finished, of all shards."""
        manifest = self.manifest()
        return {entry.token for entry in manifest.frames} if manifest else set(self.recorded().entries)

    def claim(self, frames: Sequence[FrameName], threads: int) -> tuple[list[FrameName], int]:
        """Check which of this shard's frames are finished and undamaged.

        Returns:
            the frames that are left to do, and how many are there.
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
        """The entries, by token, whose files are, byte for byte, what was written."""
        from joblib import Parallel, delayed

        if not entries:
            return {}
        checks = Parallel(n_jobs=threads, prefer="threads", return_as="generator")(
            delayed(damage_of)(self.path, entry) for entry in entries
        )
        damages = track(checks, total=len(entries), what="checking what is there")
        return {entry.token: entry for entry, damage in zip(entries, damages, strict=True) if damage is None}

    def remove_leftovers(self, tokens: Sequence[str]) -> None:
        """Delete the unfinished files that killed runs of this shard left; those of others may be in use."""
        own = set(tokens)
        for path in self.path.glob(f"frames/*/*{PARTIAL_SUFFIX}"):
            if self.shard.count == 1 or path.name.partition(".safetensors")[0] in own:
                path.unlink(missing_ok=True)

    def note(self, result: FrameEntry | Failure) -> None:
        """Record a finished frame, whose file is on the disk, or one that failed.

        Raises:
            UserError: the journal cannot be written.
        """
        self._open_journal.add(result)

    def finish(
        self, frames: Sequence[FrameName], manifest_of: Callable[[list[FrameEntry]], Manifest]
    ) -> tuple[list[Failure], int]:
        """Complete the cache if all of its frames are finished or have failed.

        A kill between any two steps leaves what the next run completes. Frames of the cache that are not among `frames`
        stay in it, behind them.

        Returns:
            the failures, of all shards, and how many frames are still missing.

        Raises:
            UserError: no frame at all could be prepared, or the manifest cannot be written.
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
        """From here on the folder is not a complete cache, until the regions are added to all frames."""
        with contextlib.suppress(FileNotFoundError):  # another shard has done it
            os.replace(self.path / MANIFEST, self.path / BASE)

    def undo_adding(self) -> None:
        """Take back `begin_adding` if no frame was touched since."""
        if not self.is_complete and self.manifest() is not None:
            os.replace(self.path / BASE, self.path / MANIFEST)

    def free_bytes(self) -> int:
        """Bytes that its disk has left."""
        path = self.path.absolute()
        return shutil.disk_usage(next(folder for folder in [path, *path.parents] if folder.exists())).free
