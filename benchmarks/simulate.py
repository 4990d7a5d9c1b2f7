"""Speed of the simulated nuScenes on one core: keyframes a second with all sensors, and where the time goes.

    python benchmarks/simulate.py --json work_dirs/bench/simulate.json [--scenes 3] [--keyframes 40] [--sweeps 0]

A scene of nuScenes has 40 keyframes. Times are seconds of the process, so that other work on the machine counts only
through the caches and the memory that it shares. The first scene compiles and is not counted.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from data_prep.simulate.nuscenes import SimulateOptions, plan_scene
from data_prep.simulate.scene import simulate_scene
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
    given = parser.parse_args()
    width, height = map(int, given.image_size.split("x"))
    options = SimulateOptions(given.scenes + 1, given.keyframes, 0, (width, height), sweeps=given.sweeps)
    rows = []
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        simulate_scene(Path(folder), plan_scene(SimulateOptions(1, 2, 0, (width, height)), 0))
        for index in range(1, given.scenes + 1):
            row = measure(options, index, Path(folder))
            print(f"{row.scene}: {row.keyframes_per_s:.2f} keyframes/s, {row.ms_per_keyframe:.0f} ms/keyframe, "
                  f"world {row.world_s:.2f} s")  # fmt: skip
            rows.append(row)
    rate = sum(row.keyframes for row in rows) / sum(row.total_s for row in rows)
    print(f"all: {rate:.2f} keyframes/s on one core of {platform.machine()}, {given.image_size}, {given.sweeps} sweeps")
    write_json(given.json, {"options": asdict(options), "keyframes_per_s": rate, "rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    main()
