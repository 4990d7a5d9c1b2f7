"""Preparation against its peers, stage by stage, interleaved in one process on one thread.

    python benchmarks/prepare.py --json work_dirs/bench/prepare.json
    python benchmarks/prepare.py --root nuscenes --version v1.0-mini --json work_dirs/bench/prepare.json

Without a root it simulates one: full-size images, 32 beams, nine sweeps before the keyframe. Each round runs every
candidate of a row once, in a new order. Times are the least over the rounds, since other programs only ever add to
them; the medians stand in the JSON. A peer that is far behind the best one in the first round is not run again.

At the end: a whole keyframe, from its files to the bytes of the cache's file, on one core, and what that makes for all
of nuScenes; and the memory that a worker holds with ten sweeps, against the estimate of `pc-ssl prepare --dry-run`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from prepare_rows import OURS, ROWS, Candidates, clouds

from data_prep.cache_folder import CacheFolder
from data_prep.jobs import Executor
from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.pipeline import estimate, prepare
from pc_ssl.data.cache import encode_frame
from pc_ssl.files import write_json

ROUNDS = 9
HOPELESS = 3.0  # times the best peer: not run again
KEYFRAMES, CORES = 34_149, 16  # of nuScenes' 850 scenes with annotations; of the machine that hours are given for


@dataclass(frozen=True)
class Row:
    """One stage on one input: milliseconds of each candidate, least and median over the rounds."""

    what: str
    cloud: str
    least: dict[str, float]
    median: dict[str, float]

    def __str__(self) -> str:
        ours = self.least[OURS]
        times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in self.least.items())
        ahead = ", ".join(f"{ms / ours:.1f}x {name}" for name, ms in self.least.items() if name != OURS)
        return f"{self.cloud}: {self.what}\n    {times}\n    ahead of the peers: {ahead}"


def race(what: str, cloud: str, candidates: Candidates, rounds: int) -> Row:
    """Run the candidates in turn."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    order = random.Random(0)
    for run in candidates.values():
        run()  # compiles, and brings everything into the caches
    for turn in range(rounds):
        best_peer = min((min(times) for name, times in taken.items() if name != OURS and times), default=float("inf"))
        names = [n for n in candidates if n == OURS or turn == 0 or min(taken[n]) < HOPELESS * best_peer]
        for name in order.sample(names, len(names)):
            begin = time.perf_counter()
            candidates[name]()
            taken[name].append(1e3 * (time.perf_counter() - begin))
    return Row(
        what,
        cloud,
        {name: min(times) for name, times in taken.items()},
        {name: statistics.median(times) for name, times in taken.items()},
    )


def keyframe_ms(root: Path, version: str, sweeps: int, regions: tuple[str, ...], rounds: int) -> list[float]:
    """Milliseconds of the last keyframe, from its files to the bytes of the cache's file, for each round."""
    reader = NuScenesReader(root, version, sweeps)
    source = reader.source(reader.frames(None)[-1])
    stages = choose_stages(regions=regions, classes=reader.classes()["label"])
    taken = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        encode_frame(stages(source.read()))
        taken.append(1e3 * (time.perf_counter() - begin))
    return taken[1:]


def memory_mb(root: Path, version: str, folder: Path) -> tuple[float, float] | None:
    """What an estimate states for a worker that prepares with ten sweeps, and what the workers then held; None for a
    single keyframe, which is prepared in this process, where the peers have been."""
    reader = NuScenesReader(root, version, 10)
    if len(reader.frames(None)) == 1:
        return None
    stages, cache, executor = choose_stages(), CacheFolder(folder / "cache"), Executor(workers=2)
    stated = estimate(reader, stages, cache, executor).memory_bytes
    return stated / 1e6, prepare(reader, stages, cache, executor).memory_bytes / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--version", default="v1.0-mini")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or simulated_root(Path(folder) / "root")
        print("stages, one thread, least of the rounds")
        rows = []
        for cloud in clouds(root, options.version):
            for candidates_of in ROWS:
                for what, candidates in candidates_of(cloud):
                    rows.append(race(what, cloud.name, candidates, options.rounds))
                    print(rows[-1], flush=True)
        keyframes = {}
        for sweeps in (1, 10):
            taken = keyframe_ms(root, options.version, sweeps, ("dbscan",), options.rounds)
            hours = KEYFRAMES * statistics.median(taken) / CORES / 3.6e6
            keyframes[f"{sweeps} sweeps"] = {"least": min(taken), "median": statistics.median(taken), "hours": hours}
            print(
                f"whole keyframe, up to {sweeps} sweeps, DBSCAN regions, six cameras: {min(taken):.1f} ms a core "
                f"(median {statistics.median(taken):.1f}); {KEYFRAMES} keyframes on {CORES} cores: {hours:.2f} h"
            )
        memory = memory_mb(root, options.version, Path(folder))
        if memory is not None:
            print(f"memory of a worker, ten sweeps: {memory[0]:.0f} MB stated, {memory[1]:.0f} MB held")
    write_json(
        options.json,
        {"rows": [asdict(row) for row in rows], "keyframes": keyframes, "memory_mb": memory},
    )


def simulated_root(root: Path) -> Path:
    """One scene of two keyframes with full-size images, the second after nine sweeps."""
    from data_prep.simulate.nuscenes import SimulateOptions, simulate_nuscenes

    simulate_nuscenes(root, SimulateOptions(scenes=1, keyframes=2, seed=0, image_size=(1600, 900), beams=32, sweeps=9))
    return root


if __name__ == "__main__":
    main()
