"""Golden files: what a refactoring must not change. `python tests/golden/make.py` writes them, `--check` compares.

loss_curves.json   losses of 20 steps of each config of configs/smoke, one CPU thread
caches.json        sha256 of each tensor of caches prepared from small simulated streets and rooms
help.json          what `--help` of every command prints
api.json           the names in every `__all__`, with their signatures

An intended difference is committed together with the change that makes it, and its reason stands in the commit message.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import json
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SMOKE = ROOT / "configs" / "smoke"
TAUGHT = ("bev_distill_second", "rad_second")  # by the network that prc_second pretrains
STEPS = 20
POINT_REGIONS = "dbscan,dbscan3d,range_adaptive,hdbscan,vccs,graph,random_boxes"


def run(*arguments: str | Path) -> str:
    """One command of the command line, in this process; what it printed.

    Raises:
        RuntimeError: it failed.
    """
    from typer.testing import CliRunner

    from pc_ssl.cli import app

    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], env={"COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1"},
        prog_name="pc-ssl",
    )  # fmt: skip
    if result.exit_code != 0:
        raise RuntimeError(f"pc-ssl {' '.join(map(str, arguments))}: {result.output}") from result.exception
    return result.output


def loss_curves(folder: Path) -> dict[str, Any]:
    """Config -> losses."""
    import conftest
    import torch

    torch.set_num_threads(1)
    cache = conftest.write_street_cache(folder / "cache", train=4, val=2).path
    images = _image_folders(folder)
    curves = {}
    for path in sorted(SMOKE.glob("*.py"), key=lambda path: (path.stem in TAUGHT, path.stem)):
        work_dir = folder / path.stem
        options: list[str | Path] = ["--cache", cache, "--work-dir", work_dir]
        for override in (f"train.steps={STEPS}", "train.log_every=1", "train.num_workers=0", *_sources(path, images)):
            options += ["--set", override]
        if path.stem in TAUGHT:
            options += ["--init", f"teacher={folder / 'prc_second' / 'weights.safetensors'}"]
        command = "finetune" if path.stem == "segmentation" else "pretrain"
        run(command, path, *options)
        log = next(work_dir.rglob("log.jsonl"))
        curves[path.stem] = [json.loads(line)["loss"] for line in log.read_text().splitlines()]
    return dict(sorted(curves.items()))


def _sources(path: Path, images: dict[str, Path]) -> list[str]:
    from pc_ssl.config import load_config

    values = load_config(path).flat()
    return [f"{key}={images[value]}" for key, value in values.items() if key.endswith(".source")]


def _image_folders(folder: Path) -> dict[str, Path]:
    import torch
    from transformers import AutoBackbone, Dinov2Config, ResNetConfig

    configs = {
        "microsoft/resnet-50": ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1] * 4, layer_type="basic"
        ),
        "facebook/dinov2-large": Dinov2Config(
            hidden_size=16, num_hidden_layers=24, num_attention_heads=2, patch_size=14, image_size=70
        ),
    }
    folders = {}
    for name, config in configs.items():
        torch.manual_seed(0)
        folders[name] = folder / "images" / name.partition("/")[2]
        AutoBackbone.from_config(config).save_pretrained(folders[name])
    return folders


def caches(folder: Path) -> dict[str, Any]:
    """Recording -> frame -> tensor -> sha256 of dtype, shape and bytes."""
    streets, rooms = folder / "streets", folder / "rooms"
    run("simulate", "nuscenes", "--out", streets, "--scenes", "1", "--keyframes", "2", "--sweeps", "9",
        "--image-size", "160x90", "--seed", "3")  # fmt: skip
    run("simulate", "scannet", "--out", rooms, "--rooms", "1", "--frames", "2", "--seed", "3")
    street = ("prepare", "nuscenes", "--root", streets, "--version", "v1.0-mini", "--regions", f"{POINT_REGIONS},slic")
    run(*street, "--out", folder / "one")
    run(*street, "--out", folder / "ten", "--sweeps", "10")
    run("prepare", "scannet", "--root", rooms, "--regions", POINT_REGIONS, "--out", folder / "room")
    names = {"street, 1 sweep": "one", "street, 10 sweeps": "ten", "room": "room"}
    return {name: _checksums(folder / path) for name, path in names.items()}


def _checksums(folder: Path) -> dict[str, dict[str, str]]:
    from pc_ssl.data.cache import Cache

    found = {}
    for frame in Cache(folder):
        tensors = {key: frame[key].numpy() for key in sorted(frame.keys())}
        found[frame.token] = {
            key: hashlib.sha256(f"{value.dtype}{value.shape}".encode() + value.tobytes()).hexdigest()[:16]
            for key, value in tensors.items()
        }
    return found


def help_pages(_: Path) -> dict[str, Any]:
    """Command -> lines of its help."""
    import typer

    from pc_ssl.cli import app

    pages = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        pages[" ".join(("pc-ssl", *words))] = [line.rstrip() for line in run(*words, "--help").splitlines()]
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    walk(typer.main.get_command(app), ())
    return pages


def public_api(_: Path) -> dict[str, Any]:
    """Module -> name in `__all__` -> signature, or type where it is not called."""
    import data_prep
    import pc_ssl

    modules = [
        module.name
        for package in (pc_ssl, data_prep)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if not module.name.endswith(("._C", "__main__"))
    ]
    loaded = {name: importlib.import_module(name) for name in ["pc_ssl", *modules]}  # some name their modules
    api = {}
    for name, module in loaded.items():
        if hasattr(module, "__all__"):
            api[name] = {word: _signature(getattr(module, word)) for word in sorted(module.__all__)}
    return api


def _signature(value: Any) -> str:
    if callable(value):
        try:
            return str(inspect.signature(value))
        except (TypeError, ValueError):
            return "()"
    return type(value).__name__


SECTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "loss_curves": loss_curves,
    "caches": caches,
    "help": help_pages,
    "api": public_api,
}


def differences(section: str, folder: Path, tolerance: float = 0.0) -> list[str]:
    """What differs from the golden file: one line each; empty where all is equal.

    Args:
        section: a key of SECTIONS.
        folder: empty, to work in.
        tolerance: relative, of losses: other processors add in another order.
    """
    expected = json.loads((GOLDEN / f"{section}.json").read_text())
    return list(_compare(expected, SECTIONS[section](folder), section, tolerance))


def _compare(expected: Any, found: Any, where: str, tolerance: float) -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = [*expected, *(key for key in found if key not in expected)]
        return [
            line
            for key in keys
            for line in _compare(expected.get(key), found.get(key), f"{where} / {key}", tolerance)
        ]  # fmt: skip
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for number, (a, b) in enumerate(zip(expected, found, strict=True))
            for line in _compare(a, b, f"{where} [{number}]", tolerance)
        ]
    numbers = isinstance(expected, float) and isinstance(found, float)
    same = abs(expected - found) <= tolerance * abs(expected) if numbers else expected == found
    return [] if same else [f"{where}: {expected!r} was expected, found {found!r}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    wrong = []
    for section in arguments.sections or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            if arguments.check:
                wrong += differences(section, Path(folder))
            else:
                content = json.dumps(SECTIONS[section](Path(folder)), indent=1) + "\n"
                (GOLDEN / f"{section}.json").write_text(content)
    print(
        "\n".join(wrong) or f"{', '.join(arguments.sections or SECTIONS)}: {'equal' if arguments.check else 'written'}"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
