"""The command line. Each command parses its options and calls one function of the package."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pc_ssl.cli import (  # noqa: F401  (each adds its commands)
    compare,
    configs,
    doctor,
    evaluate,
    features,
    prepare,
    publish,
    reproduce,
    simulate,
    train,
    weights,
)
from pc_ssl.cli.app import app
from pc_ssl.errors import UserError

__all__ = ["app", "main"]

INTERRUPTED = 130  # exit code of typer for Ctrl-C


def main() -> None:
    """Run the command line: a mistake in the user's input is one line on standard error and exit code 1 or 2."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as error:
        if error.code == INTERRUPTED:
            print(_after_interrupt(sys.argv[1:]), file=sys.stderr)
        raise


def _after_interrupt(arguments: Sequence[str]) -> str:
    """What to do after Ctrl-C, by the command."""
    command = arguments[0] if arguments else ""
    if command == "pretrain" and "--resume" not in arguments:
        return "stopped; add --resume to the same command to go on from the last checkpoint"
    if command in ("pretrain", "finetune", "prepare", "compare", "reproduce"):
        return "stopped; the same command goes on from what is finished"
    return "stopped; no result was written: run the same command again"
