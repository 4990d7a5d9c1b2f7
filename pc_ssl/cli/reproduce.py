"""The command that runs published tables on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pc_ssl.cli.app import DryRun, app
from pc_ssl.cli.train import Device
from pc_ssl.errors import UsageError

TERAFLOPS = 10.0  # ours: some 3 % of an A100's dense bfloat16 peak, as sparse networks move more than they multiply


@app.command()
def reproduce(
    table: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TABLE]",
            help="Name of a table, or the path of a Python file that defines a `table`, which is executed. Without it, "
            "the names are listed.",
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Your copy of the data set.")] = None,
    work_dir: Annotated[Path | None, typer.Option("--work-dir", help="For caches, runs and the table.")] = None,
    label_lists: Annotated[
        Path | None, typer.Option(help="Folder with the data set's lists of labelled scenes, if the table uses them.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each method, from initialisation on.", min=1)] = 1,
    jobs: Annotated[int, typer.Option(help="Runs at once.", min=1)] = 1,
    workers: Annotated[int, typer.Option(help="Processes that prepare the cache.", min=1)] = 1,
    tflops: Annotated[
        float, typer.Option(help="What a GPU is assumed to sustain in training, for the hours of --dry-run.", min=0.01)
    ] = TERAFLOPS,
    dry_run: DryRun = False,
    device: Device = "auto",
) -> None:
    """Make a published table: prepare, pretrain, fine-tune, and print measured beside published scores.

    A reproduction that was stopped goes on where it was. `--dry-run` reads no data: it lists commands, steps and GPU
    hours.

    Example: `pc-ssl reproduce slidr --root nuscenes --work-dir work_dirs/slidr --dry-run`
    """
    from pc_ssl.experiments.plan_file import names_in
    from pc_ssl.experiments.published_table import load_table
    from pc_ssl.experiments.reproduction import Reproduction
    from pc_ssl.files import write_bytes
    from pc_ssl.recipes import TABLES

    if table is None:
        print("\n".join(f"{name:18} {load_table(name).title}" for name in names_in(TABLES)))
        return
    found = load_table(table)
    if not dry_run and (root is None or work_dir is None):
        raise UsageError("reproduce: expected --root and --work-dir, or --dry-run")
    place = work_dir or Path("work_dirs") / table.stem
    data = root or Path(found.parts[0].preparation.data_set)
    reproduction = Reproduction(found, data, place, label_lists, seeds, jobs, workers, device)
    if dry_run:
        print(reproduction.describe(tflops))
        return
    text = reproduction.run()
    write_bytes(place / "table.txt", f"{text}\n".encode())
    print(text)
