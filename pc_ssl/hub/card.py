"""The model card: README.md of a published network, with the front matter that model hubs read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import RESULT, RunResult
from pc_ssl.files import sha256_of

# Licences of public data sets, by `Manifest.dataset`; simulated scenes (`sim-...`) have the data set's name too
DATA_LICENCES = {
    "nuscenes": "CC BY-NC-SA 4.0, non-commercial (nuScenes terms of use)",
    "kitti": "CC BY-NC-SA 3.0, non-commercial (KITTI)",
    "scannet": "ScanNet terms of use, non-commercial",
}
SIMULATED = "simulated by pc-ssl: no licence of others applies"
NOT_STATED = "not stated"
SHOWN_SCENES = 20
HUB_LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0")


@dataclass(frozen=True)
class Origin:
    """What the card says about a network besides its layers; JSON values.

    Args:
        weights: metadata of the weights file: the method that made it, its config, cache and split.
        licence: of the weights.
        data: of the cache, see `data_of`; empty: not known.
        results: see `result_of`.
    """

    weights: Mapping[str, str]
    licence: str
    data: Mapping[str, Any]
    results: Sequence[Mapping[str, Any]] = ()

    @property
    def method(self) -> str:
        """The method or command that made the weights."""
        return self.weights.get("method") or self.weights.get("command") or NOT_STATED


def data_of(cache: Cache, weights: Path, metadata: Mapping[str, str], licence: str | None) -> dict[str, Any]:
    """What a network was trained on.

    Args:
        cache: the prepared frames.
        weights: the file, for errors.
        metadata: of the weights file.
        licence: of the data; None: that of the data set, if it is a public one.

    Raises:
        UserError: the weights were made from another cache, or from a split that it does not have.
    """
    found, expected = sha256_of(cache.path / MANIFEST), metadata.get("cache")
    if found != expected:
        raise UserError(
            f"{cache.path / MANIFEST}: sha256 is {found[:12]}..., but {weights} was made from the cache "
            f"{str(expected)[:12]}...; give the cache it was trained on"
        )
    split = metadata.get("split") or metadata.get("train_split") or ""
    rows = cache.indices(split)
    scenes = list(dict.fromkeys(cache.frames[row].scene for row in rows))
    simulated = bool(scenes) and all(scene.startswith("sim-") for scene in scenes)
    known = SIMULATED if simulated else DATA_LICENCES.get(cache.manifest.dataset, NOT_STATED)
    return {
        "dataset": cache.manifest.dataset, "version": cache.manifest.version, "split": split,
        "columns": list(cache.columns), "frames": len(rows), "scenes": scenes, "licence": licence or known,
        "manifest_sha256": found,
    }  # fmt: skip


def result_of(folder: Path, weights: Path) -> dict[str, Any]:
    """A measured result of these weights, from the work folder of a probe or a fine-tuning.

    Raises:
        UserError: the folder holds no result, or one that was made from other weights.
    """
    path = folder / RESULT if folder.is_dir() else folder
    run = RunResult.read(path)
    checksum = sha256_of(weights)
    found = [str(part.get("sha256")) for part in run.initial]
    if checksum not in found:
        raise UserError(
            f"{path}: was made from {', '.join(of[:12] for of in found) or 'no weights'}, not from {weights} "
            f"(sha256 {checksum[:12]}...); give a result of these weights"
        )
    settings = {name: value for name, value in run.settings.items() if name not in ("command", "init")}
    return {
        "task": type(run.result).__name__.removesuffix("Result"), "score": run.result.headline,
        "split": run.settings.get("val_split"), "frames": run.result.num_frames,
        "labelled_frames": run.num_train_frames, "command": _command(run), "settings": settings,
    }  # fmt: skip


def model_card(name: str, network: Mapping[str, Any], origin: Origin) -> str:
    """README.md of a published network.

    Args:
        name: of the network, the card's title.
        network: its description (`interop.networks`), with its class under "network".
        origin: what it was made from.
    """
    known = origin.licence.lower() in HUB_LICENCES
    licence = [origin.licence.lower()] if known else ["other", origin.licence]
    front = [f"license: {json.dumps(licence[0])}", *(f"license_name: {json.dumps(text)}" for text in licence[1:])]
    front += ["library_name: pc_ssl", "tags:", *(f"- {tag}" for tag in ("point-cloud", "lidar", "self-supervised"))]
    made = [f"- {_line(key)}: `{_line(value)}`" for key, value in sorted(origin.weights.items())]
    layers = "\n".join(f"| {key} | `{json.dumps(value)}` |" for key, value in network.items() if key != "network")
    return "\n".join(
        [
            "---", *front, "---", "", f"# {_line(name)}", "",
            f"{network['network']} backbone for LiDAR, made by {_line(origin.method)} with pc_ssl.", "",
            "```python", "import pc_ssl", f"network = pc_ssl.load({name!r})",
            "features = pc_ssl.point_features(network, points)  # [N, 3 + F] -> [N, C]", "```", "",
            "## Data", "", *_data(origin.data), "",
            "## Licence", "", f"Weights: {_line(origin.licence)}.",
            f"Training data: {_line(str(origin.data.get('licence', NOT_STATED)))}.", "",
            "## Measured results", "", *_results(origin.results), "",
            "## Network", "", "| option | value |", "|---|---|", layers, "",
            "## Origin", "", *made, "",
        ]
    )  # fmt: skip


def _data(data: Mapping[str, Any]) -> list[str]:
    if not data:
        return ["Not stated: the network was published without its cache."]
    scenes = data["scenes"]
    more = f" and {len(scenes) - SHOWN_SCENES} more" if len(scenes) > SHOWN_SCENES else ""
    return [
        f"- data set: {_line(data['dataset'])} {_line(data['version'])}, split `{_line(data['split'])}`",
        f"- frames used: {data['frames']}, of {len(scenes)} scenes: {_line(', '.join(scenes[:SHOWN_SCENES]))}{more}",
        f"- columns of points: {_line(', '.join(data['columns']))}",
        f"- sha256 of the cache's manifest: `{data['manifest_sha256']}`",
    ]


def _results(results: Sequence[Mapping[str, Any]]) -> list[str]:
    if not results:
        return ["None measured."]
    rows = [
        f"| {of['task']} | {_line(of['score'])} | {_line(str(of['split']))}, {of['frames']} frames | "
        f"{of['labelled_frames']} | `{_line(of['command'])}` |"
        for of in results
    ]
    return ["| task | score | evaluated on | labelled frames | command |", "|---|---|---|---|---|", *rows]


def _command(run: RunResult) -> str:
    """The command of a run; settings that it does not show are in config.json."""
    settings, paths = run.settings, run.paths
    words = ["pc-ssl", settings["command"], paths.get("config"), "--cache", paths.get("cache")]
    words += ["--init", paths.get("init")] if paths.get("init") else []
    words += ["--seed", settings["seed"]] if "seed" in settings else []
    return " ".join(map(str, words))


def _line(text: str) -> str:
    """Text from a file as one line of a table, without markup of its own."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
