"""Simulated ScanNet: rooms in ScanNet's file formats and folders, written scene by scene.

    simulate_scannet(Path("rooms"), SimulateOptions(rooms=20, seed=0), workers=2)

Each room is furnished, scanned with a hand-held RGB-D camera, and reconstructed from the measured depth, so that its
mesh has the holes, the noise and the blurred edges of a scan. An interrupted run resumes at the first unfinished scene.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data_prep.scannet_source import ScenePaths
from data_prep.simulate.parts import check_range, in_processes, train_and_val
from data_prep.simulate.root_state import is_complete, size_text, write_state
from pc_ssl.files import remove_partial_files, write_bytes
from pc_ssl.geometry import rotation_about_z, transform_from
from pc_ssl.progress import duration, track

FRAME_STEP = 20  # between the numbers of exported frames, as in ScanNet's own selection of images
LEAST_POSES = 60  # camera poses that the mesh is reconstructed from; fewer leave much of a room unseen
# seconds of one core and bytes, measured with 5 rooms of 20 frames at 320x240 pixels: 37 s and 72 MB
SECONDS_PER_ROOM, SECONDS_PER_FRAME = 3.2, 0.21
BYTES_PER_ROOM, BYTES_PER_FRAME = 13_000_000, 75_000


@dataclass(frozen=True)
class SimulateOptions:
    """Options that determine the content of a simulated root.

    Args:
        rooms: number of scenes.
        seed: of all random numbers.
        frames: exported RGB-D frames of each room.
        image_size: width and height of colour and depth, pixels.

    Raises:
        UsageError: a value is out of range.
    """

    rooms: int
    seed: int = 0
    frames: int = 20
    image_size: tuple[int, int] = (320, 240)

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("rooms", self.rooms, 1, 9999),
            ("seed", self.seed, 0, 2**63 - 1),
            ("frames", self.frames, 0, 500),
            ("image-size (width)", self.image_size[0], 16, 1920),
            ("image-size (height)", self.image_size[1], 16, 1440),
        ):
            check_range(name, value, low, high)

    @property
    def splits(self) -> dict[str, list[str]]:
        """Scene names of `train` and `val`."""
        train, val = train_and_val([scene_name(index) for index in range(self.rooms)])
        return {"train": train, "val": val}


@dataclass(frozen=True)
class Estimate:
    """Expected size and duration of a simulation; `rooms_left` are still to be written."""

    out: Path
    rooms: int
    rooms_left: int
    bytes: int
    seconds: float
    workers: int

    def summary(self) -> str:
        return (
            f"{self.out}: would simulate {self.rooms_left} of {self.rooms} rooms; {size_text(self.bytes)} in all, "
            f"{duration(self.seconds)} with {self.workers} worker(s); nothing was written"
        )


@dataclass(frozen=True)
class Report:
    """Result of a simulation; `simulated` counts the rooms of this run, the others existed already."""

    out: Path
    options: SimulateOptions
    simulated: int
    seconds: float

    def summary(self) -> str:
        splits = ", ".join(f"{name}: {len(scenes)}" for name, scenes in self.options.splits.items())
        done = f"{self.simulated} in {duration(self.seconds)}" if self.simulated else "nothing was left to do"
        return f"{self.out}: {self.options.rooms} rooms, splits {splits}; {done}"


def scene_name(index: int) -> str:
    return f"scene{index:04d}_00"


def estimate(out: Path, options: SimulateOptions, *, workers: int = 1) -> Estimate:
    """Estimate a simulation; writes nothing.

    Raises:
        UserError: `out` has other content, or was simulated with other options.
    """
    left = 0 if is_complete(out, asdict(options), "scannet") else len(_missing(out, options))
    more_pixels = options.image_size[0] * options.image_size[1] / (320 * 240)
    seconds = SECONDS_PER_ROOM + options.frames * SECONDS_PER_FRAME * more_pixels
    size = BYTES_PER_ROOM + options.frames * BYTES_PER_FRAME * more_pixels
    share = left / min(workers, max(left, 1))
    return Estimate(out, options.rooms, left, int(options.rooms * size), share * seconds, workers)


def simulate_scannet(out: Path, options: SimulateOptions, *, workers: int = 1) -> Report:
    """Write a simulated ScanNet data root to `out`, or its missing rooms.

    The same options give the same bytes, for any number of `workers` (processes) and any number of interruptions. A
    root that is complete with the same options is not changed.

    Raises:
        UserError: `out` has other content, was simulated with other options, or the disk is full.
    """
    from data_prep.simulate.indoor.files import label_table

    start = time.monotonic()
    todo: list[int] = []
    if not is_complete(out, asdict(options), "scannet"):
        write_state(out, asdict(options), complete=False)
        remove_partial_files(out)
        todo = _missing(out, options)
        rooms = in_processes(simulate_room, [(_paths(out, index), options, index) for index in todo], workers)
        for _ in track(rooms, total=len(todo), what="simulate", unit="room"):
            pass
        for name, scenes in options.splits.items():
            write_bytes(out / f"scannetv2_{name}.txt", "".join(f"{scene}\n" for scene in scenes).encode())
        write_bytes(out / "scannetv2-labels.combined.tsv", label_table())
        write_state(out, asdict(options), complete=True)
    return Report(out, options, len(todo), time.monotonic() - start)


def _paths(out: Path, index: int) -> ScenePaths:
    return ScenePaths(out, out / "scans" / scene_name(index))


def _missing(out: Path, options: SimulateOptions) -> list[int]:
    """Indices of the scenes that lack the file written last."""
    return [index for index in range(options.rooms) if not _paths(out, index).description.exists()]


def simulate_room(paths: ScenePaths, options: SimulateOptions, index: int) -> None:
    """Furnish, scan and write one room; its content is a function of the options and the index."""
    from data_prep.simulate.indoor.files import write_description, write_frame, write_intrinsics, write_mesh
    from data_prep.simulate.indoor.room import build_room
    from data_prep.simulate.indoor.scan import Camera, Studio

    rng = np.random.default_rng((options.seed, index))
    room = build_room(index, rng)
    # scans start at any position and heading: the recording's axes are not the room's
    world_from_room = transform_from(rotation_about_z(rng.uniform(0, 2 * np.pi)), [*rng.uniform(-3, 3, 2), 0.0])
    studio, camera = Studio(room, rng), Camera.of_size(options.image_size)
    poses = studio.path(max(LEAST_POSES, options.frames))
    write_mesh(paths, room, studio.fuse(poses), world_from_room)
    for count, at in enumerate(np.linspace(0, len(poses) - 1, options.frames).round().astype(int)):
        write_frame(paths.folder, count * FRAME_STEP, studio.image(camera, poses[at]), world_from_room)
    if options.frames:
        write_intrinsics(paths.folder, camera)
    write_description(paths, room, camera, options.frames, world_from_room)
