"""Commands that bring weights into other frameworks and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pc_ssl.cli.app import DryRun, app
from pc_ssl.cli.train import Overrides
from pc_ssl.errors import UsageError, UserError

if TYPE_CHECKING:
    from pc_ssl.interop.convert import Conversion
    from pc_ssl.interop.networks import Description

FRAMEWORKS = "bevfusion, centerpoint, clip2scene, mmdet3d, openpcdet, slidr, torchsparse"
ONNX = "onnx"
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Config whose backbone, or LiDAR branch, the weights belong to. A file is Python and is executed: use "
        "only files you trust.",
    ),
]
IntensityMax = Annotated[
    float | None,
    typer.Option(help="Largest intensity on their side; ours is 1. [default: the framework's, 255 on nuScenes]"),
]
Check = Annotated[
    bool, typer.Option("--check", help="Compare our network with outputs that the framework's own code gave.")
]
Verbose = Annotated[bool, typer.Option("--all", help="List every tensor, not only those that do not map.")]


@app.command("export")
def export_(
    weights: Annotated[Path, typer.Argument(help="weights.safetensors of a run.")],
    to: Annotated[
        str, typer.Option("--to", metavar="TARGET", help=f"{FRAMEWORKS}; with :NETWORK for one of several; or {ONNX}.")
    ],
    out: Annotated[Path, typer.Option(help=f"Checkpoint to write; with {ONNX} a folder.")],
    config: Config = None,
    intensity_max: IntensityMax = None,
    prefix_only: Annotated[
        bool,
        typer.Option("--prefix-only", help="Write the layers from the input on up to the first that does not map."),
    ] = False,
    check: Check = False,
    list_all: Verbose = False,
    dry_run: DryRun = False,
) -> None:
    """Write a backbone as a checkpoint that another framework's own loader accepts.

    Every tensor is reported as mapped, missing, unexpected or of another shape. Exits with 1, and writes nothing, when
    the backbone does not map whole, or its layers are not those of the network there.

    `--to onnx` writes the dense parts as ONNX files, compared with torch by onnxruntime, and the sparse convolutions
    with folded batch norms; it says what has no ONNX operator.

    Example: `pc-ssl export work_dirs/prc/weights.safetensors --to openpcdet --out prc_openpcdet.pth`
    """
    from pc_ssl.engine.exchange import (
        Source,
        export_weights,
        report,
        round_trip_check,
        stored_check,
        write_exported,
    )

    if to == ONNX:
        if config is not None or intensity_max is not None or prefix_only:
            raise UsageError(f"--to {ONNX}: not with --config, --intensity-max or --prefix-only")
        _export_onnx(weights, out, dry_run)
        return
    target = Source.parse(to, "--to")
    conversion = export_weights(weights, target, _network(config), intensity_max, prefix_only)
    print(report(conversion, list_all))
    if prefix_only:
        _check_prefix(weights, conversion)
    else:
        _check_whole(weights, conversion)
    if check:
        print(stored_check(conversion.peer))
    if dry_run:
        return
    write_exported(out, conversion)
    if check and not prefix_only:
        print(round_trip_check(weights, conversion, out))
    print(out)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Checkpoint of another framework.")],
    from_: Annotated[
        str, typer.Option("--from", metavar="SOURCE", help=f"{FRAMEWORKS}; with :NETWORK for one of several.")
    ],
    out: Annotated[Path, typer.Option(help="Weights file to write.")],
    config: Config = None,
    overrides: Overrides = None,
    intensity_max: IntensityMax = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, kept in the file's metadata.")] = None,
    check: Check = False,
    list_all: Verbose = False,
    dry_run: DryRun = False,
) -> None:
    """Read a checkpoint of another framework into a weights file for --init.

    The network has the layers of the framework and the widths of the file, unless --config names another; the config
    that it needs is printed. Pickles are read as data, without running code. Exits with 1, and writes nothing, when the
    backbone does not map whole.

    Example: `pc-ssl import cbgs_voxel0075_centerpoint_nds_6648.pth --from openpcdet --out centerpoint.safetensors`
    """
    from pc_ssl.engine.exchange import Source, import_checkpoint, report, stored_check, write_imported

    source = Source.parse(from_, "--from")
    conversion = import_checkpoint(file, source, _network(config), overrides or (), intensity_max)
    print(report(conversion, list_all))
    _check_whole(file, conversion)
    if check:
        print(stored_check(conversion.peer))
    if not dry_run:
        write_imported(out, file, conversion, licence)
        print(out)


def _export_onnx(weights: Path, out: Path, dry_run: bool) -> None:
    from pc_ssl.engine.weights import read_metadata
    from pc_ssl.hub import load, weights_file
    from pc_ssl.hub.onnx import NOT_EXPORTED, dense_parts, export_onnx

    network = load(weights)
    if dry_run:
        kind = type(network).__name__
        print(f"{kind}: {', '.join(f'{part.name}.onnx' for part in dense_parts(network)) or 'no ONNX file'}")
        print(f"not exported: {NOT_EXPORTED[kind]}")
        return
    print("\n".join(export_onnx(network, out, read_metadata(weights_file(weights)))))
    print(out)


def _network(config: Path | None) -> Description | None:
    """The backbone, or LiDAR branch, of a config.

    Raises:
        UserError: it cannot be built, or is not one that has an equal elsewhere.
    """
    if config is None:
        return None
    from pc_ssl.config import load_config
    from pc_ssl.engine.exchange import described

    return described(load_config(config))


def _check_whole(path: Path, conversion: Conversion) -> None:
    if not conversion.is_whole:
        raise UserError(f"{path}: the backbone does not map whole ({conversion}); nothing was written")


def _check_prefix(path: Path, conversion: Conversion) -> None:
    if not conversion.mapped:
        raise UserError(f"{path}: not even the first layer maps ({conversion}); nothing was written")
