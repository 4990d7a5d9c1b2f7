"""What the demos share: streets are simulated and prepared, a plan runs on them, and a report shows what it measured.

Each step is a `pc-ssl` command, printed as it starts; its output is kept in its folder's output.txt. A finished step is
not run again, so a demo that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pc_ssl.data.cache import MANIFEST
from pc_ssl.errors import UserError
from pc_ssl.experiments import Experiment, Plan
from pc_ssl.experiments.jobs import Job, Stages, run_jobs
from pc_ssl.files import write_bytes
from pc_ssl.report.experiment import experiment_page

VERSION = "v1.0-mini"
WORK_DIRS = Path(__file__).parents[1] / "work_dirs"


@dataclass(frozen=True)
class Streets:
    """Simulated recordings.

    Args:
        scenes: their number; the last fifth is held out.
        image_size: of the cameras, such as 320x180.
        keyframes: of each scene.
        seed: of the simulation.
    """

    scenes: int
    image_size: str
    keyframes: int = 4
    seed: int = 0

    def simulate(self, folder: Path, workers: int) -> Job:
        """As a nuScenes data root, in `folder`/nuscenes."""
        data = folder / "nuscenes"
        arguments: list[str | Path] = ["simulate", "nuscenes", "--out", data, "--scenes", str(self.scenes)]
        arguments += ["--keyframes", str(self.keyframes), "--seed", str(self.seed)]
        arguments += ["--image-size", self.image_size, "--workers", str(workers)]
        return Job(arguments, folder / "simulate", data / VERSION)

    def prepare(self, folder: Path, workers: int) -> Job:
        """The cache of these streets, in `folder`/cache."""
        arguments: list[str | Path] = ["prepare", "nuscenes", "--root", folder / "nuscenes", "--version", VERSION]
        arguments += ["--out", folder / "cache", "--workers", str(workers)]
        return Job(arguments, folder / "prepare", folder / "cache" / MANIFEST)


@dataclass(frozen=True)
class Demo:
    """A plan on streets of its own; `title` is that of the report."""

    title: str
    streets: Streets
    plan: Plan

    def run(self, folder: Path) -> str:
        """Run what is left to do below `folder`, and write report.html.

        Returns:
            The table of results.

        Raises:
            UserError: a command failed.
        """
        cores, times = os.cpu_count() or 1, Stages(folder / "seconds.json")
        with times.stage("simulate"):
            run_jobs([self.streets.simulate(folder, cores)], cores)
        with times.stage("prepare"):
            run_jobs([self.streets.prepare(folder, cores)], cores)
        experiment = Experiment(self.plan, folder / "cache", folder, cores)
        comparison = experiment.run(times)
        report = folder / "report.html"
        with times.stage("report"):
            write_bytes(report, experiment_page(self.title, experiment, comparison).encode())
        return f"{comparison.by_evaluation().text()}\n{comparison.about} {report}"


def main(about: str | None, name: str, demo: Demo) -> None:
    """Run a demo in the folder that the command line names, and print its table."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=WORK_DIRS / name, help="for everything it writes")
    try:
        print("\n" + demo.run(parser.parse_args().folder))
    except UserError as error:
        sys.exit(f"error: {error}")
