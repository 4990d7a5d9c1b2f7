"""Weights files to checkpoints of other frameworks and back: what `pc-ssl export` and `pc-ssl import` do."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pc_ssl.config import RunConfig
from pc_ssl.data.facts import facts_of_data_set
from pc_ssl.engine.weights import BACKBONE, NETWORK, LoadReport, network_of, read_tensors, write_tensors
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import sha256_of
from pc_ssl.interop import FRAMEWORKS
from pc_ssl.interop.convert import Conversion, PeerNetwork, best_match, finite, from_peer, leading_layers, to_peer
from pc_ssl.interop.files import read_checkpoint, write_checkpoint
from pc_ssl.interop.networks import CLASS, Description, as_config, describe
from pc_ssl.interop.pairs import TOLERANCE, difference, pair_of, probe
from pc_ssl.interop.pairs import load as load_tensors
from pc_ssl.models.fusion import BevEncoder

LIDAR = f"{BACKBONE}lidar."


@dataclass(frozen=True)
class Source:
    """What `--from` and `--to` name.

    Args:
        framework: key of `FRAMEWORKS`.
        networks: its network of the name given, or all.
    """

    framework: str
    networks: tuple[PeerNetwork, ...]

    @classmethod
    def parse(cls, text: str, option: str) -> Source:
        """`openpcdet`, or `openpcdet:VoxelResBackBone8x`.

        Raises:
            UsageError: no such framework or network.
        """
        framework, _, name = text.partition(":")
        if framework not in FRAMEWORKS:
            raise UsageError(f"{option}: {framework!r} is not known, expected one of {', '.join(FRAMEWORKS)}")
        networks = tuple(peer for peer in FRAMEWORKS[framework] if name in ("", peer.name))
        if not networks:
            known = ", ".join(peer.name for peer in FRAMEWORKS[framework])
            raise UsageError(f"{option}: {framework} has no network {name!r} here; it has {known}")
        return cls(framework, networks)


def import_checkpoint(
    path: Path, source: Source, target: Description | None, overrides: Sequence[str], intensity_max: float | None
) -> Conversion:
    """Convert a checkpoint of another framework.

    Args:
        path: the checkpoint.
        source: framework and, where it is not to be found out, network.
        target: our network; None: the one with the peer's layers.
        overrides: `key=value` changes of our network, such as `grid.voxel_size=(0.1,0.1,0.2)`.
        intensity_max: see `from_peer`.

    Returns:
        Tensors by our names without `backbone.`, checked: their values are finite and give another output than random
        ones do.

    Raises:
        UserError: the file is refused or damaged, holds no such network, or its values are not finite or do nothing.
    """
    tensors = read_checkpoint(path)
    peer = source.networks[0] if len(source.networks) == 1 else best_match(source.networks, tensors, str(path))
    conversion = from_peer(peer, tensors, target, intensity_max)
    if overrides:
        changed = _overridden(conversion.description, overrides)
        conversion = from_peer(peer, tensors, changed, intensity_max)
    bad = finite(conversion.tensors)
    if bad is not None:
        raise UserError(f"{path}: {bad} holds values that are not finite; the file is damaged")
    if conversion.is_whole:
        _check_effect(path, conversion)
    return conversion


def load_checkpoint(path: Path, framework: str, backbone: nn.Module, part: str) -> tuple[LoadReport, dict[str, str]]:
    """Load a checkpoint of another framework into a network with the framework's layers; all of it or nothing.

    Args:
        path: the checkpoint.
        framework: key of `FRAMEWORKS`.
        backbone: loaded into; of a BevEncoder the LiDAR branch.
        part: its name in a larger network, for the report.

    Returns:
        The report, and what a weights file would say of its origin: framework, checksum and the inputs to be given.

    Raises:
        UserError: the file is refused or damaged, or the network has no equal there or other layers than it.
    """
    network = dict(backbone.named_children()).get("lidar") if isinstance(backbone, BevEncoder) else backbone
    description = None if network is None else describe(network)
    if network is None or description is None:
        raise UserError(f"--init {framework}:{path}: a {type(backbone).__name__} has no equal in {framework}")
    peers = tuple(peer for peer in FRAMEWORKS[framework] if peer.network == description[CLASS])
    if not peers:
        raise UserError(f"--init {framework}:{path}: a {description[CLASS]} has no equal in {framework}")
    conversion = import_checkpoint(path, Source(framework, peers), description, (), None)
    if not conversion.is_whole:
        first = " ".join(conversion.detail().splitlines()[0].split())
        raise UserError(f"{path}: {conversion}; the network here has other layers ({first})")
    load_tensors(network, conversion.tensors)
    names = tuple(sorted(conversion.tensors))
    return LoadReport(path, part, names, (), (), {}), _origin(path, conversion.peer, None)


def write_imported(out: Path, path: Path, conversion: Conversion, licence: str | None) -> None:
    """Write the converted weights as a weights file, with their origin and inputs in its metadata.

    Raises:
        UserError: the file cannot be written.
    """
    metadata = _origin(path, conversion.peer, licence)
    metadata |= {NETWORK: json.dumps(conversion.description, sort_keys=True)}
    write_tensors(out, {BACKBONE + name: value for name, value in conversion.tensors.items()}, metadata)


def export_weights(
    path: Path, target: Source, description: Description | None, intensity_max: float | None, prefix_only: bool
) -> Conversion:
    """Convert a weights file for another framework.

    Args:
        path: a weights file; a backbone, or one whose LiDAR branch is exported.
        target: framework and, where it is not to be found out, network.
        description: our network; None: as the file's metadata describes it.
        intensity_max: see `to_peer`.
        prefix_only: keep the layers from the input on up to the first that the network does not have.

    Raises:
        UserError: the file is damaged, or does not say which network it belongs to, or that has no equal there.
    """
    tensors, metadata = read_tensors(path)
    description = description or network_of(path, metadata)
    if description is None:
        raise UserError(
            f"{path}: its metadata does not describe the network (an older file?); give --config, such as the "
            "config.py of its work folder"
        )
    prefix = LIDAR if any(name.startswith(LIDAR) for name in tensors) else BACKBONE
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if not own:
        raise UserError(f"{path}: holds no backbone, whose tensors' names start with {BACKBONE!r}")
    peers = [peer for peer in target.networks if peer.network == description[CLASS]]
    if not peers:
        raise UserError(
            f"{path}: holds a {description[CLASS]}, and no network of {target.framework} here is equal to one"
        )
    conversions = [to_peer(peer, own, description, intensity_max) for peer in peers]
    best = min(conversions, key=_distance)
    return leading_layers(best) if prefix_only else best


def write_exported(out: Path, conversion: Conversion) -> None:
    """Write the checkpoint.

    Raises:
        UserError: the file cannot be written.
    """
    write_checkpoint(out, conversion.peer.framework, conversion.tensors)


def stored_check(peer: PeerNetwork) -> str:
    """One line: our network's output against the one that the peer's own code gave for the same weights and points.

    Raises:
        UserError: they differ.
    """
    pair = pair_of(peer)
    if pair is None:
        raise UserError(f"--check: no output of {peer.framework} {peer.name} is stored to compare with")
    found = difference(peer, pair)
    if found > TOLERANCE * pair.scale:
        raise UserError(
            f"--check: {peer.name} differs by {found:.2g} at outputs up to {pair.scale:.3g} from what {pair.made_with} "
            "gave; this installation computes something else"
        )
    return f"equal to {pair.made_with}: largest difference {found:.1g} at outputs up to {pair.scale:.3g}"


def round_trip_check(path: Path, conversion: Conversion, out: Path) -> str:
    """One line: the output of the exported file, read back and converted, against that of the weights.

    Raises:
        UserError: they differ.
    """
    peer, description = conversion.peer, conversion.description
    back = from_peer(peer, read_checkpoint(out), description)
    tensors, _ = read_tensors(path)
    prefix = LIDAR if any(name.startswith(LIDAR) for name in tensors) else BACKBONE
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    before, after = probe(description, own), probe(description, back.tensors)
    scale = max(1.0, float(before.abs().max()))
    found = float((before - after).abs().max())
    if found > 1e-4 * scale:
        raise UserError(f"{out}: read back, outputs differ by {found:.2g} at values up to {scale:.3g}")
    return f"read back: largest difference of outputs {found:.1g} at values up to {scale:.3g}"


def report(conversion: Conversion, mapped: bool) -> str:
    """What became of every tensor, and our network as a config has it."""
    lines = [str(conversion), conversion.detail(mapped)]
    if conversion.is_whole:
        lines += [
            f"network          {as_config(conversion.description)}",
            f"inputs           {_inputs(conversion.peer)}",
        ]
    return "\n".join(line for line in lines if line)


def described(config: RunConfig) -> Description:
    """The description of a config's backbone, or of its LiDAR branch, without `point_features`, which weights show.

    Raises:
        UserError: it cannot be built, or is not a network that has an equal elsewhere.
    """
    with torch.device("meta"):
        backbone = config.build(f"{config.kind}.backbone", facts_of_data_set("nuscenes", 1))
    if isinstance(backbone, BevEncoder):
        backbone = backbone.lidar
    description = describe(backbone)
    if description is None:
        raise UserError(f"{config.path}: its backbone is a {type(backbone).__name__}, which has no equal elsewhere")
    del description["point_features"]
    return description


def _origin(path: Path, peer: PeerNetwork, licence: str | None) -> dict[str, str]:
    """Metadata of weights that come from elsewhere; it travels into the results that are made from them."""
    return {
        "method": f"import from {peer.framework}",
        "source": f"{path.name} sha256 {sha256_of(path)}",
        "source_network": f"{peer.framework} {peer.name}",
        "inputs": _inputs(peer),
        "licence": licence or "not stated: see where the checkpoint came from",
    }


def _check_effect(path: Path, conversion: Conversion) -> None:
    loaded, random = probe(conversion.description, conversion.tensors), probe(conversion.description, None)
    if bool((loaded - random).abs().max() == 0):
        raise UserError(f"{path}: the network gives the same output with these weights as with random ones")


def _distance(conversion: Conversion) -> tuple[int, int]:
    """How far a conversion is from being whole."""
    wrong = len(conversion.missing) + len(conversion.unexpected) + len(conversion.wrong_shape)
    return wrong, len(conversion.differences)


def _inputs(peer: PeerNetwork) -> str:
    return f"{', '.join(peer.inputs.columns)}; intensity up to {peer.inputs.intensity_max:g} there; {peer.inputs.note}"


def _overridden(description: Mapping[str, Any], overrides: Sequence[str]) -> Description:
    changed = json.loads(json.dumps(description))
    for override in overrides:
        key, equals, text = override.partition("=")
        *parents, last = key.split(".")
        inner: Any = changed
        for parent in parents:
            inner = inner.get(parent) if isinstance(inner, dict) else None
        if not equals or not isinstance(inner, dict):
            raise UsageError(f"--set {override!r}: expected key=value, such as grid.voxel_size=(0.1,0.1,0.2)")
        try:
            inner[last] = json.loads(json.dumps(ast.literal_eval(text)))
        except (ValueError, SyntaxError):
            inner[last] = text
    return changed
