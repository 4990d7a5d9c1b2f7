"""Simulated nuScenes: a data root in nuScenes' own format, written scene by scene.

    simulate_nuscenes(Path("streets"), SimulateOptions(scenes=20, keyframes=5, seed=0), workers=2)

Scenes are named `sim-0000`, `sim-0001`, ...; `<version>/splits.json` lists them under `sim_train` and `sim_val`, or
under the names of `SimulateOptions.split_sizes`. The devkit reserves `train`, `val` and `test` for nuScenes' own
scenes; `pc-ssl prepare` reads such lists from splits.json where the root has none of nuScenes' scenes. The tables are
written last: an interrupted run leaves a root that does not load, and the same call resumes after the last finished
scene.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.simulate.map_mask import write_map_mask
from data_prep.simulate.maps import LAYERS
from data_prep.simulate.parts import check_range, in_processes, train_and_val
from data_prep.simulate.rig import CAMERAS, COLUMNS, KEYFRAME_PERIOD, NATIVE_SIZE, front_cameras
from data_prep.simulate.root_state import is_complete, size_text, write_state
from data_prep.simulate.scene import ScenePlan, simulate_scene
from data_prep.simulate.street.content import FARTHEST, StreetContent
from data_prep.simulate.tables import SCENE_TABLES, SHARED, shared_tables
from pc_ssl.errors import UsageError
from pc_ssl.files import read_json, remove_partial_files, write_json
from pc_ssl.progress import duration, track

VERSION = "v1.0-mini"  # the devkit's and most converters' name for a small root
FINISHED_SCENES = ".scenes"  # folder of the rows of each finished scene, removed at the end
LOCATIONS = {  # nuScenes' map names; width and height of their canvas in metres, and the side of traffic
    "boston-seaport": ((2979.5, 2118.1), 1),
    "singapore-onenorth": ((1585.6, 2025.0), -1),
}
FASTEST = 12.0  # metres per second; bounds the area that one scene needs
# options that roots simulated by earlier versions do not list
ADDED_OPTIONS = ("cameras", "columns", "period", "reach", "rare_objects", "split_sizes")
FIRST_TIME, SCENE_SPACING = 1_700_000_000_000_000, 1_000_000_000  # microseconds
# bytes, and seconds of one core of a busy machine, measured at 400x225 pixels and 32 beams (benchmarks/simulate.py)
SECONDS_PER_SCENE, SECONDS_PER_KEYFRAME, SECONDS_PER_SWEEP = 0.9, 0.27, 0.045
IMAGE_SHARE = 0.85  # of a keyframe's seconds
BYTES_PER_SCENE, BYTES_PER_KEYFRAME, BYTES_PER_SWEEP = 900_000, 90_000, 900  # of the tables and the map
BYTES_PER_PIXEL = 0.3
BYTES_PER_RAY, BYTES_PER_LABEL = 20, 1


@dataclass(frozen=True)
class SimulateOptions:
    """Options that determine the content of a simulated root.

    Args:
        scenes: number of scenes.
        keyframes: per scene.
        seed: of all random numbers.
        image_size: width and height of the images, pixels.
        beams: of the LiDAR.
        sweeps: LiDAR rotations written before each keyframe except a scene's first, 50 ms apart; 9 fill half a second.
        cameras: number of cameras, the nearest to the front first; 0: no images. The points, labels and boxes do not
            depend on it.
        columns: firings of the LiDAR per rotation.
        period: seconds between keyframes. The devkit derives no velocities across more than 1.5 s.
        reach: metres of built area around the ego vehicle's trip; less is faster.
        rare_objects: factor on the numbers of objects of rare classes, see `StreetContent`.
        split_sizes: names of splits, each with its number of scenes, in the order of the scenes; their sum must be
            `scenes`. Empty: `sim_train` and `sim_val`.

    Raises:
        UsageError: a value is out of range, or the splits do not have `scenes` scenes.
    """

    scenes: int
    keyframes: int
    seed: int
    image_size: tuple[int, int] = (400, 225)
    beams: int = 32
    sweeps: int = 0
    cameras: int = len(CAMERAS)
    columns: int = COLUMNS
    period: float = KEYFRAME_PERIOD
    reach: float = FARTHEST
    rare_objects: float = 1.0
    split_sizes: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("scenes", self.scenes, 1, 9999),
            ("keyframes", self.keyframes, 1, 400),
            ("seed", self.seed, 0, 2**63 - 1),
            ("image-size (width)", self.image_size[0], 16, 4 * NATIVE_SIZE[0]),
            ("image-size (height)", self.image_size[1], 16, 4 * NATIVE_SIZE[1]),
            ("beams", self.beams, 2, 128),
            ("sweeps", self.sweeps, 0, 9),
            ("cameras", self.cameras, 0, len(CAMERAS)),
            ("columns", self.columns, 16, 4096),
            ("keyframe-period", self.period, KEYFRAME_PERIOD, 20),
            ("keyframes times keyframe-period", self.keyframes * self.period, 0, 400),
            ("reach", self.reach, 45, FARTHEST),
            ("rare-objects", self.rare_objects, 1, 10),
            *((f"split {name}", scenes, 1, 9999) for name, scenes in self.split_sizes),
        ):
            check_range(name, value, low, high)
        names = [name for name, _ in self.split_sizes]
        if len(set(names)) < len(names) or "" in names:
            raise UsageError(f"--split: expected distinct names, got {', '.join(map(repr, names))}")
        if self.split_sizes and self.scenes != sum(scenes for _, scenes in self.split_sizes):
            raise UsageError(f"--scenes: {self.scenes} is not the sum of the splits' scenes")

    @property
    def num_keyframes(self) -> int:
        return self.scenes * self.keyframes

    @property
    def num_sweeps(self) -> int:
        return self.scenes * (self.keyframes - 1) * self.sweeps

    @property
    def splits(self) -> dict[str, list[str]]:
        """Scene names of each split."""
        names = [scene_name(k) for k in range(self.scenes)]
        if not self.split_sizes:
            train, val = train_and_val(names)
            return {"sim_train": train, "sim_val": val}
        ends = np.cumsum([scenes for _, scenes in self.split_sizes]).tolist()
        return {name: names[end - scenes : end] for (name, scenes), end in zip(self.split_sizes, ends, strict=True)}

    @property
    def recorded(self) -> dict[str, Any]:
        """The options as JSON values; ADDED_OPTIONS only where they differ from their defaults."""
        defaults = {field.name: field.default for field in fields(self) if field.name in ADDED_OPTIONS}
        values = asdict(self)
        kept = {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}
        return json.loads(json.dumps(kept))


@dataclass(frozen=True)
class Estimate:
    """Expected size and duration of a simulation.

    Args:
        scenes_left: scenes still to be written, of `scenes`.
        bytes: of the whole root.
        seconds: remaining.
    """

    out: Path
    scenes: int
    scenes_left: int
    files: int
    bytes: int
    seconds: float
    workers: int

    def summary(self) -> str:
        return (
            f"{self.out}: would simulate {self.scenes_left} of {self.scenes} scenes; about {self.files} files, "
            f"{size_text(self.bytes)} in all, {duration(self.seconds)} with {self.workers} worker(s); "
            "nothing was written"
        )


@dataclass(frozen=True)
class Report:
    """Result of a simulation; `simulated` counts the scenes of this run, the others existed already."""

    out: Path
    options: SimulateOptions
    simulated: int
    seconds: float

    def summary(self) -> str:
        options = self.options
        splits = ", ".join(f"{name}: {len(scenes)}" for name, scenes in options.splits.items())
        if not self.simulated:
            done = "nothing was left to do"
        else:
            rate = self.simulated * options.keyframes / max(self.seconds, 1e-9)
            done = f"{self.simulated} scenes in {duration(self.seconds)}, {rate:.1f} keyframes/s"
        return (
            f"{self.out}: {options.scenes} scenes, {options.num_keyframes} keyframes, version {VERSION}, "
            f"splits {splits}; {done}"
        )


def scene_name(index: int) -> str:
    return f"sim-{index:04d}"


def estimate(out: Path, options: SimulateOptions, *, workers: int = 1) -> Estimate:
    """Estimate a simulation; writes nothing.

    Raises:
        UserError: `out` has other content, or was simulated with other options.
    """
    left = 0 if _is_complete(out, options) else len(_missing(out, options))
    keyframes, sweeps = options.num_keyframes, options.num_sweeps
    pixels, rays = options.image_size[0] * options.image_size[1], options.columns * options.beams
    size = keyframes * (BYTES_PER_KEYFRAME + options.cameras * BYTES_PER_PIXEL * pixels)
    size += keyframes * (BYTES_PER_RAY + BYTES_PER_LABEL) * rays + sweeps * (BYTES_PER_SWEEP + BYTES_PER_RAY * rays)
    size += options.scenes * BYTES_PER_SCENE
    more_pixels = options.cameras / len(CAMERAS) * pixels / (400 * 225)
    more_rays = rays / (COLUMNS * 32)
    keyframe = SECONDS_PER_KEYFRAME * (IMAGE_SHARE * more_pixels + (1 - IMAGE_SHARE) * more_rays)
    seconds = options.scenes * SECONDS_PER_SCENE + keyframes * keyframe + sweeps * SECONDS_PER_SWEEP * more_rays
    files = keyframes * (options.cameras + 2) + sweeps + 20
    share = left / options.scenes / min(workers, max(left, 1))
    return Estimate(out, options.scenes, left, files, int(size), share * seconds, workers)


def simulate_nuscenes(out: Path, options: SimulateOptions, *, workers: int = 1) -> Report:
    """Write a simulated nuScenes data root to `out`, or its missing scenes.

    The same options give the same bytes, for any number of `workers` (processes) and any number of interruptions. A
    root that is complete with the same options is not changed.

    Raises:
        UserError: `out` has other content, was simulated with other options, or the disk is full.
    """
    start = time.monotonic()
    todo: list[int] = []
    if not _is_complete(out, options):
        write_state(out, options.recorded, complete=False)
        remove_partial_files(out)
        todo = _missing(out, options)
        plans = [(out, plan_scene(options, index)) for index in todo]
        scenes = in_processes(_finish_scene, plans, workers)
        for _ in track(scenes, total=len(todo), what="simulate", unit="scene"):
            pass
        _write_tables(out, options)
        write_state(out, options.recorded, complete=True)
    _remove_rows(out, options)
    return Report(out, options, len(todo), time.monotonic() - start)


def plan_scene(options: SimulateOptions, index: int) -> ScenePlan:
    """The plan of one scene, a function of the options and the index."""
    location = list(LOCATIONS)[index % len(LOCATIONS)]
    (width, _), hand = LOCATIONS[location]
    # a square large enough for any scene
    content = StreetContent(options.reach, options.rare_objects)
    side = 2 * (content.margin + content.side) + FASTEST * options.period * options.keyframes
    columns, place = max(int(width // side), 1), index // len(LOCATIONS)
    return ScenePlan(
        name=scene_name(index),
        seed=(options.seed, index),
        keyframes=options.keyframes,
        period=options.period,
        cameras=options.cameras,
        image_size=options.image_size,
        beams=options.beams,
        columns=options.columns,
        sweeps=options.sweeps,
        hand=hand,
        location=location,
        shift=((place % columns + 0.5) * side, (place // columns + 0.5) * side),
        start=FIRST_TIME + index * SCENE_SPACING,
        version=VERSION,
        content=content,
    )


def _is_complete(out: Path, options: SimulateOptions) -> bool:
    return is_complete(out, options.recorded, "nuscenes")


def _rows_file(out: Path, name: str) -> Path:
    return out / FINISHED_SCENES / f"{name}.json"


def _missing(out: Path, options: SimulateOptions) -> list[int]:
    """Indices of the scenes that are not finished."""
    return [index for index in range(options.scenes) if not _rows_file(out, scene_name(index)).exists()]


def _remove_rows(out: Path, options: SimulateOptions) -> None:
    if (out / FINISHED_SCENES).exists():
        for index in range(options.scenes):
            _rows_file(out, scene_name(index)).unlink(missing_ok=True)
        (out / FINISHED_SCENES).rmdir()


def _finish_scene(out: Path, plan: ScenePlan) -> None:
    write_json(_rows_file(out, plan.name), simulate_scene(out, plan))


def _write_tables(out: Path, options: SimulateOptions) -> None:
    tables: dict[str, list] = shared_tables(front_cameras(options.cameras), options.image_size)
    tables |= {table: [] for table in SCENE_TABLES}
    layers: dict[str, dict[str, Any]] = {}
    logs: dict[str, list[str]] = {}
    for index in range(options.scenes):
        rows = read_json(_rows_file(out, scene_name(index)))
        for table in SCENE_TABLES:
            tables[table] += rows["tables"][table]
        _merge(layers.setdefault(rows["location"], _empty_map(rows["location"])), rows["map"])
        logs.setdefault(rows["location"], []).append(rows["tables"]["log"][0]["token"])
    tables["map"] = []
    for location, tokens in logs.items():
        write_json(out / "maps" / "expansion" / f"{location}.json", layers[location])
        token = SHARED.of("map", location)
        filename = f"maps/{token}.png"
        write_map_mask(out / filename, layers[location])
        tables["map"].append({"token": token, "log_tokens": tokens, "category": "semantic_prior", "filename": filename})
    for table, records in tables.items():
        write_json(out / VERSION / f"{table}.json", records)
    write_json(out / VERSION / "splits.json", options.splits)


def _empty_map(location: str) -> dict[str, Any]:
    lists: dict[str, Any] = {layer: [] for layer in LAYERS}
    canvas = list(LOCATIONS[location][0])
    return {"version": "1.3", "canvas_edge": canvas, **lists, "arcline_path_3": {}, "connectivity": {}}


def _merge(into: dict[str, Any], layers: dict[str, Any]) -> None:
    for name, records in layers.items():
        if isinstance(records, dict):
            into[name].update(records)
        else:
            into[name] += records
