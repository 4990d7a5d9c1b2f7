"""The program and its groups of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from pc_ssl.errors import UsageError
from pc_ssl.version import __version__

app = typer.Typer(
    name="pc-ssl",
    help="Pretrain LiDAR networks without labels, and evaluate them downstream: recordings, cache, weights, results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
simulate_app = typer.Typer(no_args_is_help=True, help="Write a simulated recording in a real data set's own format.")
app.add_typer(simulate_app, name="simulate")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and what it costs; write nothing.")]


def _print_version(asked: bool) -> None:
    if asked:
        print(f"pc_ssl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def numbers(text: str, option: str, example: str) -> tuple[float, ...]:
    """`0.05,1` -> (0.05, 1.0).

    Raises:
        UsageError: a part is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option}: got {text!r}, expected numbers such as {example}") from None
