"""`make demo`: what pretraining with point-region contrast buys, from nothing to numbers, on a CPU.

1. simulate streets as a nuScenes data root          4. fit linear probes to frozen networks: random, pretrained
2. prepare them: ground, regions, labels             5. fine-tune both with the smallest fraction of labels
3. pretrain, one network for each seed               6. write summary.json and report.html, and print the table

Each step is a `pc-ssl` command, printed as it is started; what it says is kept in its folder's output.txt. A step that
is done is not done again, so a demo that was stopped goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streets import main, prepare, simulate

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import load_task
from pc_ssl.engine.jobs import Job, Stages, run_jobs
from pc_ssl.evaluation.comparison import Spread
from pc_ssl.evaluation.run_result import CONFIG, RESULT, WEIGHTS, RunResult
from pc_ssl.files import write_bytes, write_json
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.report import html, sections

ROOT = Path(__file__).parents[1]
NAMES = {"probe": "linear probe", "finetune": "fine-tuning"}
INITS = {"scratch": "from scratch", "prc": "PRC"}


@dataclass(frozen=True)
class Plan:
    """What a demo runs.

    Args:
        scenes: simulated scenes; the last fifth of them is held out.
        keyframes: of each scene.
        seed: of the simulation.
        image_size: of the simulated cameras, pixels.
        runs: runs with seeds 0, 1, ...: each pretrains, probes and fine-tunes anew.
        labels: labelled share of the training scenes in fine-tuning.
        pretrain: config of the pretraining.
        downstream: config of probe and fine-tuning.
    """

    scenes: int = 80
    keyframes: int = 4
    seed: int = 0
    image_size: str = "240x135"
    runs: int = 4
    labels: float = 0.05
    pretrain: Path = ROOT / "configs" / "demo" / "prc.py"
    downstream: Path = ROOT / "configs" / "demo" / "segmentation.py"


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
        with self.stages.stage("simulate"):
            run_jobs([simulate(self.plan, self.folder, self.cores)], self.cores)
        with self.stages.stage("prepare"):
            run_jobs([prepare(self.folder, self.cores)], self.cores)
        with self.stages.stage("pretrain"):
            run_jobs([self._pretrain(seed) for seed in self._seeds], self.cores)
        for command in NAMES:
            with self.stages.stage(command):
                run_jobs([self._downstream(command, init, seed) for init in INITS for seed in self._seeds], self.cores)
        runs = {command: {init: self._results(command, init) for init in INITS} for command in NAMES}
        with self.stages.stage("report"):
            write_bytes(self.folder / "report.html", self._page(runs).encode())
        summary = {command: {init: _spread(of) for init, of in by_init.items()} for command, by_init in runs.items()}
        write_json(self.folder / "summary.json", {**summary, "seconds": self.stages.total()})
        return self._table(summary)

    def _pretrain(self, seed: int) -> Job:
        work_dir = self._folder("pretrain", "prc", seed)
        arguments: list[str | Path] = ["pretrain", self.plan.pretrain, "--cache", self.cache, "--work-dir", work_dir]
        arguments += ["--resume", "--set", f"train.seed={seed}"]
        return Job(arguments, work_dir, work_dir / WEIGHTS, load_config(self.plan.pretrain).hash)

    def _downstream(self, command: str, init: str, seed: int) -> Job:
        work_dir = self._folder(command, init, seed)
        arguments: list[str | Path] = [command, self.plan.downstream, "--cache", self.cache, "--work-dir", work_dir]
        arguments += ["--seed", str(seed)]
        if command == "finetune":
            arguments += ["--labels", str(self.plan.labels)]
        if init == "prc":
            arguments += ["--init", self._folder("pretrain", "prc", seed) / WEIGHTS]
        return Job(arguments, work_dir, work_dir / RESULT, load_config(self.plan.downstream).hash)

    @property
    def _seeds(self) -> range:
        return range(self.plan.runs)

    def _folder(self, command: str, init: str, seed: int) -> Path:
        return self.folder / command / f"{init}-{seed}"

    def _results(self, command: str, init: str) -> list[RunResult]:
        return [RunResult.read(self._folder(command, init, seed) / RESULT) for seed in self._seeds]

    def _networks(self, command: str, cache: Cache) -> dict[str, SegmentationTask]:
        """The networks of the first seed, by where they started."""
        networks = {}
        for init, name in INITS.items():
            folder = self._folder(command, init, 0)
            networks[f"{NAMES[command]}, {name}"] = load_task(load_config(folder / CONFIG), cache, folder / WEIGHTS)
        return networks

    def _page(self, runs: Mapping[str, Mapping[str, Sequence[RunResult]]]) -> str:
        """The report: everything is shown on one held-out keyframe, with the networks of the first seed."""
        cache = Cache(self.cache)
        rows = cache.indices(cache.default_split("val"))
        shown = rows[len(rows) // 2]
        summary = {command: {init: _spread(of) for init, of in by_init.items()} for command, by_init in runs.items()}
        parts = [html.heading("Result"), self._html_table(summary)]
        parts += sections.regions(cache, shown)
        parts += sections.training({f"seed {seed}": self._folder("pretrain", "prc", seed) for seed in self._seeds})
        parts += sections.features(cache, shown, self._networks("probe", cache))
        for command, name in NAMES.items():
            parts.append(html.heading(name.capitalize()))
            parts += sections.predictions(cache, shown, self._networks(command, cache))
            parts += sections.classes({title: runs[command][init] for init, title in INITS.items()})
        return html.page("Point-region contrast on simulated streets", parts)

    def _html_table(self, summary: Mapping[str, Mapping[str, Any]]) -> str:
        rows = [list(row) for row in self._rows(summary)]
        caption = (
            f"mIoU in percent on held-out scenes: mean and standard deviation over {self.plan.runs} seeds; with every "
            "seed the network is initialised, pretrained, probed and fine-tuned anew."
        )
        return html.table(["", "labels", *INITS.values(), "gain"], rows, caption)

    def _table(self, summary: Mapping[str, Mapping[str, Any]]) -> str:
        header = ("mIoU %", "labels", *INITS.values(), "gain")
        lines = [f"{a:14}{b:>8}{c:>16}{d:>16}{e:>8}" for a, b, c, d, e in [header, *self._rows(summary)]]
        return "\n".join([*lines, f"mean and deviation over {self.plan.runs} seeds; {self.folder / 'report.html'}"])

    def _rows(self, summary: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str, str]]:
        for command, name in NAMES.items():
            scratch, prc = (summary[command][init] for init in INITS)
            share = 1.0 if command == "probe" else self.plan.labels
            cells = (f"{100 * of['mean']:.1f} +- {100 * of['std']:.1f}" for of in (scratch, prc))
            first, second = cells
            yield name, f"{share:.0%}", first, second, f"{100 * (prc['mean'] - scratch['mean']):+.1f}"


def _spread(runs: Sequence[RunResult]) -> dict[str, Any]:
    """mIoU over seeds, in [0, 1]: mean, sample standard deviation, and each run's."""
    return Spread(tuple(run.segmentation.miou for run in runs)).as_dict()


if __name__ == "__main__":
    main(__doc__, ROOT / "work_dirs" / "demo", lambda folder: Demo(folder, Plan()).run())
