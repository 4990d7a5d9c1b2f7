"""The command that examines an installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pc_ssl.cli.app import app
from pc_ssl.cli.train import Device


@app.command()
def doctor(
    device: Device = "auto",
    json: Annotated[Path | None, typer.Option(help="File to write the findings to.")] = None,
) -> None:
    """Print what is installed, and check every op, network and method on a device against references and the CPU.

    Exits with 1 if anything that is needed is missing, or computes other numbers.

    Example: `pc-ssl doctor --device cuda --json doctor.json`
    """
    from pc_ssl.doctor import examine
    from pc_ssl.engine.distributed import join
    from pc_ssl.files import write_json

    with join(device) as process:
        examination = examine(process.device)
    if json is not None:
        write_json(json, examination.as_json())
    print(examination.text())
    raise typer.Exit(0 if examination.sound else 1)
