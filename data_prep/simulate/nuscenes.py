"""Simulated nuScenes: a data root in nuScenes' own format, written scene by scene.

Scenes are named `sim-0000`, `sim-0001`, ...; `<version>/splits.json` lists them under `sim_train` and `sim_val` (the devkit
reserves the names `train` and `val` for nuScenes' own scenes). The tables are written last: a run that was killed leaves a root
that does not load, and the same call carries on from the last finished scene.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.simulate.map_mask import write_map_mask
from data_prep.simulate.maps import LAYERS
from data_prep.simulate.rig import COLUMNS, KEYFRAME_PERIOD, NATIVE_SIZE
from data_prep.simulate.scene import ScenePlan, simulate_scene
from data_prep.simulate.tables import SCENE_TABLES, SHARED, shared_tables
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import read_json, remove_partial_files, write_json
from pc_ssl.progress import track

VERSION = "v1.0-mini"  # the devkit's and most converters' name for a small root
STATE = "simulation.json"
FINISHED_SCENES = ".scenes"  # folder of the rows of each finished scene, removed at the end
LOCATIONS = {  # nuScenes' map names with the width and height of their canvas in metres, and the side of the road they drive on
    "boston-seaport": ((2979.5, 2118.1), 1),
    "singapore-onenorth": ((1585.6, 2025.0), -1),
}
FASTEST = 12.0  # metres a second; bounds the ground that one scene needs
SECONDS_PER_KEYFRAME, SECONDS_PER_SWEEP, SECONDS_PER_SCENE = 0.25, 0.04, 1.2  # of one core, at 400x225 pixels and 32 beams


@dataclass(frozen=True)
class Options:
    """What determines the bytes of a simulated root.

    Args:
        scenes: number of scenes.
        keyframes: per scene, half a second apart.
        seed: of everything.
        image_size: width and height of the pictures, pixels.
        beams: of the LiDAR.
        sweeps: LiDAR rotations written before each keyframe but a scene's first, 50 ms apart; 9 leaves no gap.
        val_fraction: share of the scenes, the last ones, in the split `sim_val`; rounded, at least one of two or more.

    Raises:
        UsageError: a value is out of range.
    """

    scenes: int
    keyframes: int
    seed: int
    image_size: tuple[int, int] = (400, 225)
    beams: int = 32
    sweeps: int = 9
    val_fraction: float = 0.2

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("scenes", self.scenes, 1, 9999),
            ("keyframes", self.keyframes, 1, 400),
            ("seed", self.seed, 0, 2**63 - 1),
            ("image-size (width)", self.image_size[0], 16, 4 * NATIVE_SIZE[0]),
            ("image-size (height)", self.image_size[1], 16, 4 * NATIVE_SIZE[1]),
            ("beams", self.beams, 2, 128),
            ("sweeps", self.sweeps, 0, 9),
            ("val-fraction", self.val_fraction, 0.0, 1.0),
        ):
            if not low <= value <= high:
                raise UsageError(f"--{name}: {value} is out of range, expected {low} to {high}")

    @property
    def splits(self) -> dict[str, list[str]]:
        """Scene names of `sim_train` and `sim_val`."""
        names = [scene_name(k) for k in range(self.scenes)]
        held_out = round(self.val_fraction * self.scenes)
        if self.val_fraction > 0 and self.scenes > 1:
            held_out = max(held_out, 1)
        first = self.scenes - held_out
        return {"sim_train": names[:first], "sim_val": names[first:]}


@dataclass(frozen=True)
class Estimate:
    """What a simulation will write: number of files, bytes, and seconds on one core."""

    files: int
    bytes: int
    seconds: float


def scene_name(index: int) -> str:
    return f"sim-{index:04d}"


def estimate_nuscenes(options: Options) -> Estimate:
    """Foresee a simulation without doing anything."""
    keyframes = options.scenes * options.keyframes
    sweeps = options.scenes * (options.keyframes - 1) * options.sweeps
    pixels, rays = options.image_size[0] * options.image_size[1], COLUMNS * options.beams
    size = keyframes * (21 * rays + 6 * 0.3 * pixels + 90_000) + sweeps * (20 * rays + 900) + options.scenes * 900_000
    work = pixels / (400 * 225)
    seconds = options.scenes * SECONDS_PER_SCENE + keyframes * SECONDS_PER_KEYFRAME * (0.15 + 0.85 * work)
    seconds += sweeps * SECONDS_PER_SWEEP * options.beams / 32
    return Estimate(keyframes * 8 + sweeps + 20, int(size), seconds)


def simulate_nuscenes(
    out: Path,
    *,
    scenes: int,
    keyframes: int,
    seed: int,
    image_size: tuple[int, int] = (400, 225),
    beams: int = 32,
    sweeps: int = 9,
    val_fraction: float = 0.2,
    workers: int = 1,
) -> None:
    """Write a simulated nuScenes data root to `out`; see `Options` for the arguments.

    The same options give the same bytes, whatever the number of `workers` (processes). A root that is complete with the same
    options is left alone.

    Raises:
        UserError: `out` holds something else, or was simulated with other options.
        UsageError: an option is out of range.
    """
    options = Options(scenes, keyframes, seed, image_size, beams, sweeps, val_fraction)
    if _is_complete(out, options):
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / STATE, {"options": asdict(options), "complete": False})
    remove_partial_files(out)
    todo = [plan for plan in map(lambda k: plan_scene(options, k), range(scenes)) if not _rows_file(out, plan.name).exists()]
    for _ in track(_simulate(out, todo, workers), total=len(todo), what="simulate", unit="scene"):
        pass
    _write_tables(out, options)
    write_json(out / STATE, {"options": asdict(options), "complete": True})
    for k in range(scenes):
        _rows_file(out, scene_name(k)).unlink(missing_ok=True)
    (out / FINISHED_SCENES).rmdir()


def plan_scene(options: Options, index: int) -> ScenePlan:
    """The plan of one scene; it depends on the options and the index alone."""
    location = list(LOCATIONS)[index % len(LOCATIONS)]
    (width, _), hand = LOCATIONS[location]
    side = 2 * 95.0 + 2 * 92.0 + FASTEST * KEYFRAME_PERIOD * options.keyframes  # of a square that holds any scene
    columns, place = max(int(width // side), 1), index // len(LOCATIONS)
    return ScenePlan(
        name=scene_name(index),
        seed=(options.seed, index),
        keyframes=options.keyframes,
        image_size=options.image_size,
        beams=options.beams,
        sweeps=options.sweeps,
        hand=hand,
        location=location,
        shift=((place % columns + 0.5) * side, (place // columns + 0.5) * side),
        start=1_700_000_000_000_000 + index * 1_000_000_000,
        version=VERSION,
    )


def _is_complete(out: Path, options: Options) -> bool:
    """Whether `out` already holds this very simulation; refuses what it must not touch."""
    state_file = out / STATE
    if not state_file.exists():
        if out.exists() and any(out.iterdir()):
            raise UserError(f"{out}: the folder is not empty and holds no {STATE}; expected a new or an empty folder")
        return False
    state = read_json(state_file)
    found, wanted = state.get("options", {}), _as_json(options)
    for name, value in wanted.items():
        if found.get(name) != value:
            raise UserError(
                f"{state_file}: the root was simulated with {name} = {found.get(name)}, but {value} was asked for; "
                "choose another folder"
            )
    return bool(state.get("complete"))


def _as_json(options: Options) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}


def _rows_file(out: Path, name: str) -> Path:
    return out / FINISHED_SCENES / f"{name}.json"


def _simulate(out: Path, plans: list[ScenePlan], workers: int) -> Iterator[str]:
    """Simulate the scenes one by one, or in `workers` processes; yields the name of each finished scene."""
    if workers <= 1 or len(plans) <= 1:
        for plan in plans:
            yield _finish_scene(out, plan)
        return
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=workers, return_as="generator_unordered")
    yield from pool(delayed(_finish_scene)(out, plan) for plan in plans)


def _finish_scene(out: Path, plan: ScenePlan) -> str:
    write_json(_rows_file(out, plan.name), simulate_scene(out, plan))
    return plan.name


def _write_tables(out: Path, options: Options) -> None:
    tables: dict[str, list] = {**shared_tables(options.image_size), **{table: [] for table in SCENE_TABLES}}
    layers: dict[str, dict[str, Any]] = {}
    logs: dict[str, list[str]] = {}
    for k in range(options.scenes):
        rows = read_json(_rows_file(out, scene_name(k)))
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
    for table, rows in tables.items():
        write_json(out / VERSION / f"{table}.json", rows)
    write_json(out / VERSION / "splits.json", options.splits)


def _empty_map(location: str) -> dict[str, Any]:
    lists: dict[str, Any] = {layer: [] for layer in LAYERS}
    return {"version": "1.3", "canvas_edge": list(LOCATIONS[location][0]), **lists, "arcline_path_3": {}, "connectivity": {}}


def _merge(into: dict[str, Any], layers: dict[str, Any]) -> None:
    for name, records in layers.items():
        if isinstance(records, dict):
            into[name].update(records)
        else:
            into[name] += records
