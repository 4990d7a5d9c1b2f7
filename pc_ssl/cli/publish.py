"""The command that makes a network ready for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pc_ssl.cli.app import app


@app.command()
def publish(
    weights: Annotated[Path, typer.Argument(help="weights.safetensors of a run.")],
    out: Annotated[Path, typer.Option(help="Folder to write: model.safetensors, config.json, README.md.")],
    name: Annotated[str | None, typer.Option(help="Title of the model card. [default: the folder's name]")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, such as cc-by-nc-4.0.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Cache that the weights were trained on.")] = None,
    data_licence: Annotated[
        str | None, typer.Option(help="Licence of the training data. [default: that of a public data set]")
    ] = None,
    result: Annotated[
        list[Path] | None, typer.Option(help="Work folder of a probe or fine-tuning of the weights; may be repeated.")
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Upload the folder to this repository of the Hugging Face hub."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="With --push: a new repository is public.")] = False,
) -> None:
    """Write a backbone as a folder that `pc_ssl.load` reads, with a model card: method, data, licences, results.

    Example: `pc-ssl publish work_dirs/prc/weights.safetensors --cache cache --result work_dirs/probe
    --licence cc-by-nc-4.0 --out published/prc`
    """
    from pc_ssl.data.cache import Cache
    from pc_ssl.hub import push_to_hub, save_pretrained

    frames = None if cache is None else Cache(cache)
    save_pretrained(
        weights, out, name=name or push, licence=licence, cache=frames, data_licence=data_licence, results=result or ()
    )
    print(out)
    if push is not None:
        print(push_to_hub(out, push, private=not public))
