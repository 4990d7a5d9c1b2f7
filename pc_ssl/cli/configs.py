"""The command that shows the configs that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pc_ssl.cli.app import app
from pc_ssl.cli.train import Overrides
from pc_ssl.errors import UsageError, UserError

SCHEDULE = Path("schedule.png")


@app.command()
def configs(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]",
            help="A config's name, or the path of a config file, to print it after inheritance. Configs of pretraining "
            "and downstream tasks are called after their files; others have their folder in front, as in `demo/prc`.",
        ),
    ] = None,
    overrides: Overrides = None,
    plot_schedule: Annotated[
        bool, typer.Option("--plot-schedule", help="Draw learning rate and momentum over the run.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Picture that --plot-schedule writes.")] = SCHEDULE,
    check_published: Annotated[
        bool, typer.Option("--check-published", help="List the values that are called published, with their sources.")
    ] = False,
) -> None:
    """List the package's configs, or print one.

    Example: `pc-ssl configs prc_nuscenes_second --plot-schedule --out schedule.png`
    """
    if check_published:
        _check_published(name)
    elif name is None:
        if plot_schedule or overrides:
            raise UsageError("--plot-schedule and --set need the name of a config")
        from pc_ssl.engine.catalogue import entries, table

        print(table(entries()))
    else:
        from pc_ssl.config import load_config

        config = load_config(Path(name), overrides or ())
        if not plot_schedule:
            print(config.to_python(), end="")
            return
        from pc_ssl.files import write_bytes
        from pc_ssl.report.pictures import png
        from pc_ssl.report.schedule import schedule_figure

        write_bytes(out, png(schedule_figure(config.build("train"), name)))
        print(out)


def _check_published(name: str | None) -> None:
    """Print each published value with its source.

    Raises:
        UserError: a value has no source, or contradicts its source.
    """
    from pc_ssl.config import load_config
    from pc_ssl.published import SOURCES, contradictions, marks_of
    from pc_ssl.recipes import config_folder, recipes

    if name is not None:
        raise UsageError("--check-published looks at all configs: leave out the name")
    marks, problems = marks_of(config_folder())
    problems += contradictions(marks, {key: load_config(path).flat() for key, path in recipes().items()})
    for mark in marks:
        print(mark)
    for source in sorted({mark.source for mark in marks}):
        print(f"{source}: {SOURCES[source]}")
    print(f"{len(marks)} published values, {len(problems)} of them or of the comments wrong")
    if problems:
        raise UserError("published values: " + "; ".join(problems))
