"""`make proof`: what pretraining buys on simulated streets, measured in stages of at most an hour on two cores.

    python benchmarks/proof.py --dry-run             which stages are left, and how long they take
    python benchmarks/proof.py                       run them in their order; stop and start it at any time
    python benchmarks/proof.py --stages 1-pretraining,2-five-percent
    python benchmarks/proof.py --tables              write the page, plots and tables from the records again

A stage whose records are in docs/results/proof is not run again: commit them, and another machine goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streets import WORK_DIRS, Streets

from pc_ssl.data.cache import MANIFEST
from pc_ssl.errors import UserError
from pc_ssl.experiments import Experiment, load_plan
from pc_ssl.experiments.jobs import Job, Stages, run_jobs
from pc_ssl.experiments.plan_file import load_definition
from pc_ssl.experiments.provenance import commit_of
from pc_ssl.experiments.staged import StagedExperiment
from pc_ssl.files import write_bytes
from pc_ssl.recipes import PLANS
from pc_ssl.report.pictures import png
from pc_ssl.report.proof import figures, page, tables, with_tables

SOURCE = Path(__file__).parents[1]
RESULTS = SOURCE / "docs" / "results" / "proof"
TITLE = "What pretraining buys"
JOBS = 2  # commands at once, one thread each


LIDAR = ("--beams", "32", "--columns", "300", "--keyframes", "3", "--keyframe-period", "1.5", "--reach", "60")
WITH_IMAGES = ("--cameras", "2", "--image-size", "320x180", *LIDAR, "--rare-objects", "5")
STREETS = {  # name of their folder -> simulated streets
    "proof": Streets(
        (
            *("--split", "train=220", "--split", "val=60", "--split", "test=120"),
            *("--cameras", "none", *LIDAR, "--rare-objects", "5", "--seed", "1"),
        )
    ),
    "images": Streets(("--split", "train=120", *WITH_IMAGES, "--seed", "11"), ("--regions", "dbscan,slic")),
    "teachers": Streets(("--split", "train=60", *WITH_IMAGES, "--seed", "21")),
}
TEACHERS = {"image_teacher": "resnet", "clip_teacher": "clip"}  # folder that the configs name -> kind


@dataclass(frozen=True)
class Part:
    """A plan.

    Args:
        name: of the plan, and of its folder.
        streets: of STREETS, that the plan runs on; a pretraining may name others.
    """

    name: str
    streets: str = "proof"

    def experiment(self, folder: Path) -> StagedExperiment:
        """The plan in stages, in `folder`/name.

        Raises:
            UserError: the plan's file is damaged, or its stages do not fit it.
        """
        plan, stages = load_plan(self.name), load_definition(Path(self.name), "stages", tuple, PLANS)
        caches = {name: folder / name / "cache" for name in STREETS}
        experiment = Experiment(plan, caches[self.streets], folder / self.name, JOBS, "cpu", caches=caches)
        return StagedExperiment(experiment, stages, RESULTS)

    def prepare(self, folder: Path, needed: frozenset[str]) -> None:
        """Make what is missing of the streets that a stage's pretrainings name, and of the teachers for images.

        Raises:
            UserError: a command failed.
        """
        for name in sorted({self.streets, *needed, *(["teachers"] if "images" in needed else [])}):
            if not (folder / name / "cache" / MANIFEST).exists():
                STREETS[name].make(folder / name, JOBS, Stages(folder / name / "seconds.json"))
        jobs = []
        for name, kind in TEACHERS.items() if "images" in needed else ():
            cache, out = folder / "teachers" / "cache", WORK_DIRS / name
            command: list[str | Path] = ["simulate", "teacher", "--kind", kind, "--cache", cache, "--out", out]
            jobs.append(Job([*command, "--steps", "700"], folder / name, out / "config.json"))
        run_jobs(jobs, JOBS)


PARTS = (
    Part("proof"),
    Part("proof_bev"),
    Part("proof_signs"),
)


def run(folder: Path, names: Sequence[str], dry_run: bool) -> None:
    """Run the stages that are left, in their order, and print what is.

    Args:
        folder: for caches and runs.
        names: of the stages; none: all.
        dry_run: print only.

    Raises:
        UserError: a stage is unknown, or a command failed.
    """
    staged = {part: part.experiment(folder) for part in PARTS}
    known = [stage.name for experiment in staged.values() for stage in experiment.stages]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"--stages: {unknown[0]!r}, expected some of {', '.join(known)}")
    for part, experiment in staged.items():
        print(f"{part.name}: in {experiment.experiment.work_dir}\n{experiment.describe()}")
    for part, experiment in () if dry_run else staged.items():
        for stage in experiment.left:
            if not names or stage.name in names:
                part.prepare(folder, experiment.caches(stage))
                experiment.run(stage, f"python benchmarks/proof.py --stages {stage.name}", commit_of(SOURCE))
                print(f"{stage.name}: finished, records in {RESULTS / stage.name}", flush=True)
                write_tables([part.experiment(folder) for part in PARTS])


def write_tables(parts: Sequence[StagedExperiment]) -> None:
    """Write the page and its plots, and the marked tables of README.md and docs/*.md."""
    plots = {name: png(figure) for name, figure in figures(parts).items()}
    for name, picture in plots.items():
        write_bytes(RESULTS / name, picture)
    write_bytes(RESULTS / "README.md", page(TITLE, parts, list(plots)).encode())
    known = tables(parts)
    for path in (SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))):
        text = path.read_text()
        written = with_tables(path, text, known)
        if written != text:
            write_bytes(path, written.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=WORK_DIRS / "proof", help="for caches and runs")
    parser.add_argument("--stages", default="", help="names, separated by commas; default: all that are left")
    parser.add_argument("--dry-run", action="store_true", help="print what is left to run")
    parser.add_argument("--tables", action="store_true", help="only write page, plots and tables again")
    arguments = parser.parse_args()
    try:
        if arguments.tables:
            write_tables([part.experiment(arguments.folder) for part in PARTS])
        else:
            run(arguments.folder, [name for name in arguments.stages.split(",") if name], arguments.dry_run)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
