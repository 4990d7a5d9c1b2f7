"""From a data set to a cache: processes, files, retries; what happens to one frame stands in stages.py.

    report = prepare(NuScenesReader(root, "v1.0-mini"), Path("cache"), PrepareOptions(regions=("dbscan",)), workers=4)

Frames are independent, so any number of workers writes the same bytes. Each is written whole or not at all and noted in
the journal; the manifest comes last. Killed at any moment and started again, the run checks what is there and does the
rest. A frame that cannot be prepared is noted in failed.json with the reason, and tried again by the next run.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.journal import JOURNAL, Journal, journal_options
from data_prep.reader import FrameName, Reader, Source
from data_prep.regions import GENERATORS, GROUNDS, RegionGenerator
from data_prep.stages import frame_tensors
from data_prep.superpixels import FROM_FOLDER, SUPERPIXELS, ImageGenerator, image_generator, is_image_generator
from pc_ssl.data.cache import (
    MANIFEST,
    FrameEntry,
    Manifest,
    damage_of,
    encode_frame,
    frame_file,
    read_manifest,
    write_frame,
    write_manifest,
)
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import PARTIAL_SUFFIX, remove_partial_files, write_json
from pc_ssl.progress import duration, track

FAILED = "failed.json"
REVISION = 1  # of what preparation computes; raise it when the same options give other bytes than before
SAMPLES = 3  # frames that an estimate is made from


@dataclass(frozen=True)
class PrepareOptions:
    """What a cache shall hold. The same options and data give the same bytes.

    Args:
        split: name of a split of the data set; None prepares all frames.
        regions: region generators of points, keys of `data_prep.regions.GENERATORS`, and of images, keys of
            `data_prep.superpixels.SUPERPIXELS` or KIND:FOLDER with a key of its FROM_FOLDER.
        ground: how ground is found, a key of `data_prep.regions.GROUNDS`.

    Raises:
        UsageError: an unknown generator, or one named twice.
    """

    split: str | None = None
    regions: tuple[str, ...] = ("dbscan",)
    ground: str = "strips"

    def __post_init__(self) -> None:
        if self.ground not in GROUNDS:
            raise UsageError(f"ground: unknown way {self.ground!r} to find it; known: {', '.join(GROUNDS)}")
        for name in self.regions:
            if name not in GENERATORS and not is_image_generator(name):
                known = ", ".join([*GENERATORS, *SUPERPIXELS, *(f"{kind}:FOLDER" for kind in FROM_FOLDER)])
                raise UsageError(f"regions: unknown generator {name!r}; known: {known}")
            if self.regions.count(name) > 1:
                raise UsageError(f"regions: {name!r} is named twice")

    def generators(self) -> dict[str, RegionGenerator]:
        """Those of points."""
        return {name: GENERATORS[name] for name in self.regions if name in GENERATORS}

    def image_generators(self, classes: Sequence[str]) -> dict[str, ImageGenerator]:
        """Those of images; classes: names of the data set's label classes, which pseudo labels are given for.

        Raises:
            UserError: a folder that is named does not hold what its generator needs.
            UsageError: two have the same name in the cache.
        """
        named = [image_generator(text, classes) for text in self.regions if text not in GENERATORS]
        names = [name for name, _ in named]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"regions: two generators of images have the name {twice!r}")
        return dict(named)


@dataclass(frozen=True)
class Failure:
    """A frame that could not be prepared; the reason names the file."""

    token: str
    scene: str
    reason: str


@dataclass(frozen=True)
class PrepareReport:
    """What a run did. `kept` frames were there already, checked byte for byte."""

    out: Path
    prepared: int
    kept: int
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """3 if frames are missing, else 0."""
        return 3 if self.failures else 0

    def summary(self) -> str:
        """One line for the user, and one for each of the first few failures."""
        if self.failures:
            shown = [f"  {failure.reason}" for failure in self.failures[:5]]
            more = len(self.failures) - len(shown)
            head = f"{self.out}: {len(self.failures)} frames failed (all reasons: {self.out / FAILED}), "
            head += f"{self.prepared} prepared, {self.kept} kept; the same command tries the failed ones again"
            return "\n".join([head, *shown] + ([f"  ... and {more} more"] if more else []))
        if not self.prepared:
            return f"{self.out}: already complete with these options, {self.kept} frames checked; nothing to do"
        return f"{self.out}: {self.prepared} frames prepared, {self.kept} kept, in {duration(self.seconds)}"


@dataclass(frozen=True)
class Estimate:
    """What a preparation would cost: seconds of all workers together, without the disk's own time."""

    frames: int
    sampled: int
    workers: int
    seconds: float
    bytes: int
    free_bytes: int

    def summary(self) -> str:
        """For the user."""
        return (
            f"{self.frames} frames, about {duration(self.seconds)} with {self.workers} workers, about "
            f"{self.bytes / 1e9:.2f} GB of disk ({self.free_bytes / 1e9:.2f} GB free); from {self.sampled} frames tried"
        )


def prepare(
    reader: Reader, out: Path, options: PrepareOptions, *, workers: int = 1, strict: bool = False
) -> PrepareReport:
    """Write a cache, or finish one.

    Args:
        reader: the data set.
        out: the cache's folder: new, empty, or one of an earlier run with the same options.
        options: what it shall hold.
        workers: number of processes.
        strict: stop at the first frame that fails, without a manifest.

    Raises:
        UserError: `out` holds something else, the disk is full, a table is damaged, no frame could be prepared, or
            (`strict`) one could not.
        UsageError: workers is not positive.
    """
    if workers < 1:
        raise UsageError(f"workers: {workers} is not positive")
    start = time.monotonic()
    asked = _asked(reader, options)
    known = _finished_frames(out, asked)
    journal = Journal(out, asked)
    try:
        _refuse_other_options(out, journal.options, asked)
        remove_partial_files(out)
        known = known | journal.entries
        kept = _undamaged(out, list(known.values()), workers)
        if _is_complete(out, known, kept):
            report = PrepareReport(out, 0, len(kept), (), time.monotonic() - start)
        else:
            made, failures = _prepare_rest(reader, out, options, kept, journal, workers, strict)
            _finish(reader, out, asked, kept | made, failures, reader.frames(options.split))
            report = PrepareReport(out, len(made), len(kept), tuple(failures), time.monotonic() - start)
    except BaseException:
        journal.close(finished=False)
        raise
    journal.close(finished=True)
    return report


def estimate(reader: Reader, out: Path, options: PrepareOptions, *, workers: int = 1) -> Estimate:
    """Prepare a few frames in memory and say what all of them will cost; nothing is written.

    Raises:
        UserError: no frame could be tried, or `out` holds a cache with other options.
    """
    _finished_frames(out, _asked(reader, options))
    frames = reader.frames(options.split)
    images = options.image_generators(reader.classes()["label"])
    _tell_absent(reader)
    tried = sorted({round(index) for index in np.linspace(0, len(frames) - 1, SAMPLES)})
    costs, problem = [], None
    for index in [tried[0], *tried]:  # the first one once more: its first run also compiles
        try:
            begin = time.perf_counter()
            content = _content(reader.source(frames[index]), options, images)
            costs.append((time.perf_counter() - begin, len(content)))
        except UserError as error:
            problem = error
    if not costs:
        raise UserError(f"no frame could be tried: {problem}")
    seconds, size = np.mean(costs[1:] or costs, axis=0)
    existing = next(folder for folder in [out.absolute(), *out.absolute().parents] if folder.exists())
    total = len(frames) * seconds / min(workers, len(frames))
    free = shutil.disk_usage(existing).free
    return Estimate(len(frames), len(tried), workers, float(total), int(len(frames) * size), free)


def _asked(reader: Reader, options: PrepareOptions) -> dict[str, Any]:
    """All that the bytes depend on besides the data, as JSON values: the manifest's options.

    Raises:
        UsageError: an unknown split; told first, as it would also be a difference to what a cache holds.
    """
    known = reader.splits()
    if options.split is not None and options.split not in known:
        raise UsageError(f"split: the data set has no {options.split!r}; known: {', '.join(known)}")
    return reader.options() | {
        "split": options.split,
        "ground": {"kind": options.ground, **asdict(GROUNDS[options.ground])},
        "regions": {
            name: {"kind": type(generator).__name__, **asdict(generator)}
            for name, generator in options.generators().items()
        },
        "images": {
            name: {"kind": type(generator).__name__, "tensor": generator.tensor, **asdict(generator)}
            for name, generator in options.image_generators(reader.classes()["label"]).items()
        },
        "revision": REVISION,
    }


def _finished_frames(out: Path, asked: Mapping[str, Any]) -> dict[str, FrameEntry]:
    """The frames that the manifest in `out` lists, by token; nothing is changed.

    Raises:
        UserError: `out` belongs to something else.
    """
    if (out / MANIFEST).is_file():
        manifest = read_manifest(out)
        _refuse_other_options(out, manifest.options, asked)
        return {entry.token: entry for entry in manifest.frames}
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file, expected a folder")
    if (out / JOURNAL).exists():
        unfinished = journal_options(out)
        _refuse_other_options(out, asked if unfinished is None else unfinished, asked)
    elif out.is_dir() and any(not path.name.endswith(PARTIAL_SUFFIX) for path in out.iterdir()):
        raise UserError(f"{out}: the folder is neither empty nor a cache; name a new one")
    return {}


def _refuse_other_options(out: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    differences = [
        f"{name} is {found_value}, asked for {asked_value}"
        for name, found_value, asked_value in _differences(found, asked)
    ]
    if differences:
        raise UserError(f"{out}: was prepared with other options ({'; '.join(differences)}); name another folder")


def _differences(found: Any, asked: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted name, found, asked) of each value that differs."""
    if isinstance(found, Mapping) and isinstance(asked, Mapping):
        for key in [*found, *(key for key in asked if key not in found)]:
            dotted = f"{name}.{key}" if name else key
            yield from _differences(found.get(key, "absent"), asked.get(key, "absent"), dotted)
    elif found != asked:
        short = ["present" if isinstance(value, Mapping) else str(value) for value in (found, asked)]
        yield name, short[0], short[1]


def _undamaged(out: Path, entries: Sequence[FrameEntry], workers: int) -> dict[str, FrameEntry]:
    """The entries whose files are, byte for byte, what was written."""
    from joblib import Parallel, delayed

    if not entries:
        return {}
    checks = Parallel(n_jobs=workers, prefer="threads", return_as="generator")(
        delayed(damage_of)(out, entry) for entry in entries
    )
    damages = track(checks, total=len(entries), what="checking what is there")
    return {entry.token: entry for entry, damage in zip(entries, damages, strict=True) if damage is None}


def _is_complete(out: Path, known: Mapping[str, FrameEntry], kept: Mapping[str, FrameEntry]) -> bool:
    """Whether the manifest stands, misses no frame that failed, and all its frames are whole."""
    return (out / MANIFEST).is_file() and not (out / FAILED).exists() and len(kept) == len(known)


def _tell_absent(reader: Reader) -> None:
    absent = reader.absent()
    if absent:
        print(f"not in this data set: {', '.join(absent)}", file=sys.stderr, flush=True)


def _prepare_rest(
    reader: Reader,
    out: Path,
    options: PrepareOptions,
    kept: Mapping[str, FrameEntry],
    journal: Journal,
    workers: int,
    strict: bool,
) -> tuple[dict[str, FrameEntry], list[Failure]]:
    """Prepare the frames that are not in `kept`."""
    from joblib import Parallel, delayed, parallel_config

    frames = [frame for frame in reader.frames(options.split) if frame.token not in kept]
    _tell_absent(reader)
    images = options.image_generators(reader.classes()["label"])
    if workers > 1:
        _compile(options)
    made: dict[str, FrameEntry] = {}
    failures = []
    with parallel_config(
        backend="loky", inner_max_num_threads=1, initializer=_end_with_parent, initargs=(os.getpid(),)
    ):
        results = Parallel(n_jobs=min(workers, max(len(frames), 1)), return_as="generator_unordered")(
            delayed(_prepare_frame)(frame, _source(reader, frame), out, options, images) for frame in frames
        )
        for result in track(results, total=len(frames), what="preparing"):
            if isinstance(result, FrameEntry):
                journal.add(result)
                made[result.token] = result
            elif strict:
                raise UserError(f"frame {result.token} of {result.scene}: {result.reason}")
            else:
                print(f"frame {result.token} of {result.scene} failed: {result.reason}", file=sys.stderr, flush=True)
                failures.append(result)
    return made, failures


def _source(reader: Reader, frame: FrameName) -> Source | str:
    """Where the frame lies, or why it has no place."""
    try:
        frame_file(frame.scene, frame.token)
        return reader.source(frame)
    except UserError as error:
        return str(error)


def _prepare_frame(
    frame: FrameName,
    source: Source | str,
    out: Path,
    options: PrepareOptions,
    images: Mapping[str, ImageGenerator],
) -> FrameEntry | Failure:
    """Prepare and write one frame, in a worker. What cannot be written ends the run; what cannot be read, the frame."""
    if isinstance(source, str):
        return Failure(frame.token, frame.scene, source)
    try:
        content = _content(source, options, images)
    except UserError as error:
        return Failure(frame.token, frame.scene, str(error))
    except Exception as error:  # a mistake of ours on one frame in thousands must not cost the others
        return Failure(frame.token, frame.scene, f"{type(error).__name__}: {error}")
    return write_frame(out, frame.scene, frame.token, frame.timestamp_us, content)


def _end_with_parent(parent: int) -> None:
    """End this worker soon after its parent was killed; by themselves loky's workers wait five minutes for work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _content(source: Source, options: PrepareOptions, images: Mapping[str, ImageGenerator]) -> bytes:
    """The frame's file."""
    return encode_frame(frame_tensors(source.read(), GROUNDS[options.ground], options.generators(), images))


def _compile(options: PrepareOptions) -> None:
    """Run the kernels once, so that workers find them compiled on the disk instead of compiling each for itself."""
    xyz = np.zeros((100, 3), np.float32)  # enough for ground to be looked for
    ground = GROUNDS[options.ground](xyz)
    for generator in options.generators().values():
        generator(xyz, ~ground)
    for name in options.regions:
        if name in SUPERPIXELS:
            SUPERPIXELS[name](np.zeros((48, 64, 3), np.uint8), "")


def _finish(
    reader: Reader,
    out: Path,
    asked: Mapping[str, Any],
    entries: Mapping[str, FrameEntry],
    failures: Sequence[Failure],
    frames: Sequence[FrameName],
) -> None:
    """Write failed.json or remove it, and write the manifest, in an order that a kill between the two cannot spoil."""
    listed = [entries[frame.token] for frame in frames if frame.token in entries]
    if failures:
        write_json(out / FAILED, [asdict(failure) for failure in sorted(failures, key=lambda failure: failure.token)])
    if not listed:
        raise UserError(f"{out}: no frame could be prepared; the first reason: {failures[0].reason}")
    scenes = {entry.scene for entry in listed}
    splits = {name: [scene for scene in of if scene in scenes] for name, of in reader.splits().items()}
    manifest = Manifest(
        dataset=asked["dataset"],
        version=asked["version"],
        options=asked,
        classes=reader.classes(),
        splits={name: of for name, of in splits.items() if of},
        frames=listed,
    )
    write_manifest(out, manifest)
    if not failures:
        (out / FAILED).unlink(missing_ok=True)
