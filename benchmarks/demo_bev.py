"""`make demo-bev`: CALICO's two stages for LiDAR and cameras, from nothing to boxes and maps, on a CPU.

1. simulate streets as a nuScenes data root             4. RAD: pretrain the camera branch, PRC's network the teacher
2. prepare them: regions, boxes, maps, images           5. fine-tune detection and map segmentation with few labels,
3. PRC: pretrain the LiDAR branch, for each seed           from scratch, from PRC alone, and from PRC and RAD
                                                        6. write summary.json and report.html, and print the table

Each step is a `pc-ssl` command, printed as it is started; what it says is kept in its folder's output.txt. A step that
is done is not done again, so a demo that was stopped goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streets import main, prepare, simulate

from pc_ssl.config import load_config
from pc_ssl.engine.jobs import Job, Stages, run_jobs
from pc_ssl.evaluation.bev_map import BevMapResult
from pc_ssl.evaluation.comparison import Spread
from pc_ssl.evaluation.detection_result import DetectionResult
from pc_ssl.evaluation.run_result import RESULT, WEIGHTS, RunResult
from pc_ssl.files import write_bytes, write_json
from pc_ssl.report import html, sections
from pc_ssl.report.page import of_result

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs" / "demo"
TASKS = {"detection": "detection", "map_segmentation": "map segmentation"}
STARTS = {"scratch": "from scratch", "prc": "PRC", "calico": "PRC + RAD"}


@dataclass(frozen=True)
class Plan:
    """What a demo runs.

    Args:
        scenes: simulated scenes; the last fifth of them is held out.
        keyframes: of each scene.
        seed: of the simulation.
        image_size: of the simulated cameras, pixels.
        runs: runs with seeds 0, 1, ...: each pretrains and fine-tunes anew.
        labels: labelled share of the training scenes in fine-tuning.
        configs: of "prc", "rad", and the tasks.
    """

    scenes: int = 75
    keyframes: int = 4
    seed: int = 0
    image_size: str = "320x180"
    runs: int = 3
    labels: float = 0.05
    configs: Mapping[str, Path] | None = None

    def config(self, name: str) -> Path:
        files = {"prc": "bev_prc", "rad": "bev_rad", "detection": "bev_detection", "map_segmentation": "bev_map"}
        return (self.configs or {}).get(name, CONFIGS / f"{files[name]}.py")


class Demo:
    """A demo in a folder; every stage can be run again.

    Args:
        folder: for everything.
        plan: what to run.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.cache = folder / "cache"
        self.cores = os.cpu_count() or 1
        self.stages = Stages(folder / "seconds.json")

    def run(self) -> str:
        """Run what is left to do.

        Returns:
            The table of results.

        Raises:
            UserError: a command failed.
        """
        seeds = range(self.plan.runs)
        with self.stages.stage("simulate"):
            run_jobs([simulate(self.plan, self.folder, self.cores)], self.cores)
        with self.stages.stage("prepare"):
            run_jobs([prepare(self.folder, self.cores)], self.cores)
        with self.stages.stage("prc"):
            run_jobs([self._pretrain("prc", seed, ()) for seed in seeds], self.cores)
        with self.stages.stage("rad"):
            run_jobs([self._pretrain("rad", seed, self._teacher(seed)) for seed in seeds], self.cores)
        for task in TASKS:
            with self.stages.stage(task):
                run_jobs([self._finetune(task, start, seed) for start in STARTS for seed in seeds], self.cores)
        runs = {task: {start: self._results(task, start) for start in STARTS} for task in TASKS}
        summary = {task: {start: _measured(of) for start, of in by_start.items()} for task, by_start in runs.items()}
        with self.stages.stage("report"):
            write_bytes(self.folder / "report.html", self._page(summary).encode())
        as_json = {
            task: {start: {name: spread.as_dict() for name, spread in of.items()} for start, of in by_start.items()}
            for task, by_start in summary.items()
        }
        write_json(self.folder / "summary.json", {**as_json, "seconds": self.stages.total()})
        return self._table(summary)

    def _pretrain(self, method: str, seed: int, init: Sequence[str]) -> Job:
        config, work_dir = self.plan.config(method), self._folder(method, "pretrain", seed)
        arguments = ["pretrain", config, "--cache", self.cache, "--work-dir", work_dir, "--resume"]
        return Job(
            [*arguments, "--set", f"train.seed={seed}", *init], work_dir, work_dir / WEIGHTS, load_config(config).hash
        )

    def _teacher(self, seed: int) -> list[str]:
        return ["--init", f"teacher={self._weights('prc', seed)}"]

    def _finetune(self, task: str, start: str, seed: int) -> Job:
        config, work_dir = self.plan.config(task), self._folder(task, start, seed)
        arguments = ["finetune", config, "--cache", self.cache, "--work-dir", work_dir, "--seed", str(seed)]
        arguments += ["--labels", str(self.plan.labels)]
        if start != "scratch":
            arguments += ["--init", f"lidar={self._weights('prc', seed)}"]
        if start == "calico":
            arguments += ["--init", f"camera={self._weights('rad', seed)}"]
        return Job(arguments, work_dir, work_dir / RESULT, load_config(config).hash)

    def _folder(self, stage: str, start: str, seed: int) -> Path:
        return self.folder / stage / f"{start}-{seed}"

    def _weights(self, method: str, seed: int) -> Path:
        return self._folder(method, "pretrain", seed) / WEIGHTS

    def _results(self, task: str, start: str) -> list[RunResult]:
        return [RunResult.read(self._folder(task, start, seed) / RESULT) for seed in range(self.plan.runs)]

    def _page(self, summary: Mapping[str, Mapping[str, Mapping[str, Spread]]]) -> str:
        """The table, the pretrainings, and the runs of the first seed."""
        header, *rows = self._rows(summary)
        parts = [html.heading("Result"), html.table(header, rows, self._about())]
        for method in ("prc", "rad"):
            folders = {f"seed {seed}": self._folder(method, "pretrain", seed) for seed in range(self.plan.runs)}
            parts += [html.heading(method.upper()), *sections.training(folders)]
        for task, name in TASKS.items():
            for start, title in STARTS.items():
                parts += [html.heading(f"{name.capitalize()}, {title}"), *of_result(self._folder(task, start, 0))]
        return html.page("Camera and LiDAR pretraining on simulated streets", parts)

    def _about(self) -> str:
        return (
            f"Percent on held-out scenes, {self.plan.labels:.0%} of the labels: mean and standard deviation over "
            f"{self.plan.runs} seeds; with every seed all networks are initialised, pretrained and fine-tuned anew."
        )

    def _table(self, summary: Mapping[str, Mapping[str, Mapping[str, Spread]]]) -> str:
        lines = [f"{a:26}" + "".join(f"{cell:>16}" for cell in cells) for a, *cells in self._rows(summary)]
        return "\n".join([*lines, f"{self._about()} {self.folder / 'report.html'}"])

    def _rows(self, summary: Mapping[str, Mapping[str, Mapping[str, Spread]]]) -> list[list[str]]:
        rows = [["%", *STARTS.values()]]
        for task, title in TASKS.items():
            for measure in summary[task]["scratch"]:
                cells = [summary[task][start][measure].text(100, 1) for start in STARTS]
                rows.append([f"{title}, {measure}", *cells])
        return rows


def _measured(runs: Sequence[RunResult]) -> dict[str, Spread]:
    """The numbers of a task over its seeds, in [0, 1]."""
    results = [run.result for run in runs]
    boxes = [result for result in results if isinstance(result, DetectionResult)]
    maps = [result for result in results if isinstance(result, BevMapResult)]
    if len(boxes) == len(results):
        return {
            "nds": Spread(tuple(result.nds for result in boxes)),
            "map": Spread(tuple(result.mean_average_precision for result in boxes)),
        }
    return {"miou": Spread(tuple(result.miou for result in maps))}


if __name__ == "__main__":
    main(__doc__, ROOT / "work_dirs" / "demo-bev", lambda folder: Demo(folder, Plan()).run())
