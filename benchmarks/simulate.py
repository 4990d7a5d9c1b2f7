"""Speed of the simulated nuScenes on one core: keyframes a second, and where the time goes.

    python benchmarks/simulate.py --json work_dirs/bench/simulate.json [--scenes 3] [--keyframes 40] [--sweeps 0]
    python benchmarks/simulate.py --json work_dirs/bench/lidar.json --scenes 12 --keyframes 3 --keyframe-period 1.5 \
        --cameras 0 --columns 300 --reach 60 --rare-objects 5

A scene of nuScenes has 40 keyframes. Times are seconds of the process, so that other work on the machine counts only
through the caches and the memory that it shares. The first scene compiles and is not counted.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from data_prep.simulate.nuscenes import SimulateOptions, plan_scene
from data_prep.simulate.rig import COLUMNS, KEYFRAME_PERIOD
from data_prep.simulate.scene import simulate_scene
from data_prep.simulate.street.content import FARTHEST
from data_prep.simulate.street.world import build_world
from pc_ssl.files import write_json


@dataclass(frozen=True)
class Row:
    """One scene: seconds to draw its world, seconds for everything, and the rates that follow."""

    scene: str
    world_s: float
    total_s: float
    keyframes: int

    @property
    def keyframes_per_s(self) -> float:
        return self.keyframes / self.total_s

    @property
    def ms_per_keyframe(self) -> float:
        """Without the world."""
        return 1000 * (self.total_s - self.world_s) / self.keyframes


def measure(options: SimulateOptions, index: int, out: Path) -> Row:
    plan = plan_scene(options, index)
    start = time.process_time()
    build_world(np.random.default_rng(plan.seed), (plan.keyframes - 1) * plan.period, plan.hand, plan.content)
    world = time.process_time() - start
    start = time.process_time()
    simulate_scene(out, plan)
    return Row(plan.name, world, time.process_time() - start, plan.keyframes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--keyframes", type=int, default=40)
    parser.add_argument("--image-size", default="400x225")
    parser.add_argument("--sweeps", type=int, default=0)
    parser.add_argument("--cameras", type=int, default=6)
    parser.add_argument("--beams", type=int, default=32)
    parser.add_argument("--columns", type=int, default=COLUMNS)
    parser.add_argument("--keyframe-period", type=float, default=KEYFRAME_PERIOD)
    parser.add_argument("--reach", type=float, default=FARTHEST)
    parser.add_argument("--rare-objects", type=float, default=1.0)
    given = parser.parse_args()
    width, height = map(int, given.image_size.split("x"))
    options = SimulateOptions(
        scenes=given.scenes + 1,
        keyframes=given.keyframes,
        seed=0,
        image_size=(width, height),
        beams=given.beams,
        sweeps=given.sweeps,
        cameras=given.cameras,
        columns=given.columns,
        period=given.keyframe_period,
        reach=given.reach,
        rare_objects=given.rare_objects,
    )
    rows = []
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        simulate_scene(Path(folder), plan_scene(replace(options, keyframes=2), 0))
        for index in range(1, given.scenes + 1):
            row = measure(options, index, Path(folder))
            print(f"{row.scene}: {row.keyframes_per_s:.2f} keyframes/s, {row.ms_per_keyframe:.0f} ms/keyframe, "
                  f"world {row.world_s:.2f} s")  # fmt: skip
            rows.append(row)
    rate = sum(row.keyframes for row in rows) / sum(row.total_s for row in rows)
    print(
        f"all: {rate:.2f} keyframes/s, {1 / rate:.3f} s a keyframe on one core of {platform.machine()}; "
        f"{given.cameras} cameras of {given.image_size}, {given.columns} x {given.beams} rays, {given.sweeps} sweeps"
    )
    write_json(given.json, {"options": asdict(options), "keyframes_per_s": rate, "rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    main()
