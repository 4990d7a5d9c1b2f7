"""What the demos and the proof share: streets are simulated and prepared, and a plan runs on them.

Each step is a `pc-ssl` command, printed as it starts; its output is kept in its folder's output.txt. A finished step is
not run again, so that a run which was stopped goes on where it was.
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
from pc_ssl.experiments.effects import sections_of
from pc_ssl.experiments.jobs import Job, Stages, run_jobs
from pc_ssl.files import write_bytes
from pc_ssl.report.experiment import experiment_page

WORK_DIRS = Path(__file__).parents[1] / "work_dirs"


@dataclass(frozen=True)
class Streets:
    """Simulated recordings and their cache.

    Args:
        simulate: options of `pc-ssl simulate nuscenes`.
        prepare: options of `pc-ssl prepare nuscenes`.
        version: of the data root.
    """

    simulate: tuple[str, ...]
    prepare: tuple[str, ...] = ()
    version: str = "v1.0-mini"

    def make(self, folder: Path, workers: int, times: Stages) -> Path:
        """Simulate and prepare, unless that is done.

        Returns:
            The cache, `folder`/cache.

        Raises:
            UserError: a command failed.
        """
        root, cache = folder / "nuscenes", folder / "cache"
        simulate: list[str | Path] = ["simulate", "nuscenes", "--out", root, *self.simulate, "--workers", str(workers)]
        prepare: list[str | Path] = [
            "prepare",
            "nuscenes",
            "--root",
            root,
            "--version",
            self.version,
            "--out",
            cache,
            *self.prepare,
        ]
        with times.stage("simulate"):
            run_jobs([Job(simulate, folder / "simulate", root / self.version)], workers)
        with times.stage("prepare"):
            run_jobs([Job([*prepare, "--workers", str(workers)], folder / "prepare", cache / MANIFEST)], workers)
        return cache


@dataclass(frozen=True)
class Demo:
    """A plan on streets of its own; `title` is that of the report."""

    title: str
    streets: Streets
    plan: Plan

    def run(self, folder: Path) -> str:
        """Run what is left to do below `folder`, and write report.html.

        Returns:
            The tables of results.

        Raises:
            UserError: a command failed.
        """
        cores, times = os.cpu_count() or 1, Stages(folder / "seconds.json")
        cache = self.streets.make(folder, cores, times)
        experiment = Experiment(self.plan, cache, folder, cores)
        comparison = experiment.run(times)
        report = folder / "report.html"
        with times.stage("report"):
            write_bytes(report, experiment_page(self.title, experiment, comparison).encode())
        return "\n\n".join([*(section.text() for section in sections_of(comparison)), str(report)])


def main(about: str | None, name: str, demo: Demo) -> None:
    """Run a demo in the folder that the command line names, and print its table."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=WORK_DIRS / name, help="for everything it writes")
    try:
        print("\n" + demo.run(parser.parse_args().folder))
    except UserError as error:
        sys.exit(f"error: {error}")
