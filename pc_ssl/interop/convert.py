"""Weights of other frameworks to ours, and ours to theirs.

Both directions go through the peer's table of names (`rows.py`) and its layouts (`layouts.py`). Nothing is left out
silently: every tensor is mapped, or named in the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.interop.layouts import SAME, Layout, chained, fold_bias, fold_eps, height_folded, scaled_column
from pc_ssl.interop.networks import CLASS, Description, differences, expected_tensors, option, widths
from pc_ssl.interop.rows import PARAMETERS, Kind, Row


@dataclass(frozen=True)
class Inputs:
    """What a peer's network is fed.

    Args:
        columns: of a point, in the order of the network's input.
        intensity_max: the largest intensity there; ours is within 0..1. The first layer is scaled by it.
        note: anything else that must agree.
    """

    columns: tuple[str, ...]
    intensity_max: float
    note: str = ""


@dataclass(frozen=True)
class PeerNetwork:
    """A network of another framework, and ours that is equal to it.

    Args:
        framework: its name on the command line.
        name: of the network.
        network: name of our class.
        layers: options of ours that the network needs and that the shapes of its tensors do not show.
        rows: the table of names.
        layouts: of its weights, by kind; absent kinds are stored as ours.
        grid: the published one, for networks with a grid; lower, upper, voxel_size.
        inputs: see `Inputs`.
        heads: prefixes of tensors that do not belong to the backbone.
        prefix: of the backbone's names in a checkpoint that may also be absent, as where a backbone is saved alone.
        widths: options of ours for the published network: names and shapes that the framework expects.
        fixed: options of ours that are constants of its code; other widths are chosen in its configs.
        parameter: its name of a convolution's weight.
    """

    framework: str
    name: str
    network: str
    layers: Mapping[str, Any]
    rows: tuple[Row, ...]
    inputs: Inputs
    layouts: Mapping[Kind, Layout] = field(default_factory=dict)
    grid: Mapping[str, tuple[float, float, float]] | None = None
    heads: tuple[str, ...] = ()
    prefix: str = ""
    widths: Mapping[str, Any] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    parameter: str = "weight"

    @property
    def norm_eps(self) -> float:
        return float(self.layers.get("norm_eps", 1e-5))

    def published(self) -> Description:
        """The description of our network that is equal to the published one."""
        grid = {} if self.grid is None else {"grid": {key: list(value) for key, value in self.grid.items()}}
        features = {"point_features": len(self.inputs.columns) - self._coordinates()}
        return {CLASS: self.network, **grid, **features, **self.layers, **self.widths}

    def _coordinates(self) -> int:
        return 3 if "x" in self.inputs.columns else 0

    def intensity_column(self) -> int | None:
        """The column of the first layer's weight that belongs to intensity."""
        return self.inputs.columns.index("intensity") if "intensity" in self.inputs.columns else None


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion, and what became of every tensor.

    Args:
        peer: the network of the other framework.
        tensors: converted, by the names of the side that was asked for.
        mapped: pairs of a name there and a name here.
        missing: names that the network asked for and the source lacks.
        unexpected: names of the source that belong to no layer of the network.
        wrong_shape: name -> (shape found, shape expected).
        left: names of the source that do not belong to the backbone, such as a detection head.
        description: our network.
        differences: options in which our network differs from the peer's layers, so that outputs would not be equal.
    """

    peer: PeerNetwork
    tensors: Mapping[str, Tensor]
    mapped: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    left: tuple[str, ...]
    description: Description
    differences: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every tensor of the backbone was mapped, and its layers are the peer's."""
        return not (self.missing or self.unexpected or self.wrong_shape or self.differences)

    def __str__(self) -> str:
        """One line with the counts."""
        counts = {
            "missing": len(self.missing), "unexpected": len(self.unexpected), "of another shape": len(self.wrong_shape),
            "options that differ": len(self.differences), "not of the backbone": len(self.left),
        }  # fmt: skip
        rest = "".join(f", {count} {what}" for what, count in counts.items() if count)
        return f"{self.peer.framework} {self.peer.name}: {len(self.mapped)} tensors mapped{rest}"

    def detail(self, mapped: bool = False) -> str:
        """One line for each tensor that was not mapped, and with `mapped` for those that were."""
        lines = [f"mapped           {there} = {here}" for there, here in self.mapped] if mapped else []
        lines += [f"missing          {name}" for name in self.missing]
        lines += [f"unexpected       {name}" for name in self.unexpected]
        lines += [
            f"of another shape {name}: {list(found)}, expected {list(expected)}"
            for name, (found, expected) in self.wrong_shape.items()
        ]
        lines += [f"option           {difference}" for difference in self.differences]
        lines += [f"left             {name}" for name in self.left] if mapped else []
        return "\n".join(lines)


def from_peer(
    peer: PeerNetwork,
    tensors: Mapping[str, Tensor],
    description: Description | None = None,
    intensity_max: float | None = None,
) -> Conversion:
    """Convert a peer's tensors to ours.

    Args:
        peer: the network that they belong to.
        tensors: by the peer's names.
        description: our network that is to take them; None: the one with the peer's layers and the tensors' widths.
        intensity_max: the largest intensity that the weights were trained with; None: the peer's usual one.

    Returns:
        Tensors by our names without `backbone.`.

    Raises:
        UserError: our network is of another class.
    """
    found: dict[str, Tensor] = {}
    mapped, unexpected, left, biases = [], [], [], {}
    for name, tensor in _prefixed(peer, tensors).items():
        layer, _, parameter = name.rpartition(".")
        row = next((row for row in peer.rows if row.ours_of(layer) is not None), None)
        if row is not None and row.kind is not Kind.NORM and parameter == peer.parameter:
            parameter = "weight"
        if name.startswith(peer.heads):
            left.append(name)
        elif row is None or parameter not in PARAMETERS[row.kind]:
            unexpected.append(name)
        elif row.kind is Kind.BIASED_KERNEL and parameter == "bias":
            biases[row.norm_of(layer)] = tensor
            mapped.append((name, f"{row.norm_of(layer)}.running_mean"))
        else:
            ours = f"{row.ours_of(layer)}.{parameter}"
            found[ours] = _weight(peer, row, tensor).to_ours(tensor) if parameter == "weight" else tensor
            mapped.append((name, ours))
    for norm, bias in biases.items():
        if f"{norm}.running_mean" in found:
            found[f"{norm}.running_mean"] = fold_bias(found[f"{norm}.running_mean"], bias)
    ours_widths = widths(peer.network, found, peer.layers)
    target = {**peer.published(), **ours_widths} if description is None else _counted(description, ours_widths)
    _check_class(peer, target)
    found = _fold_height(found, to_ours=True)
    found = _scale(peer, found, 1.0, intensity_max)
    found = _fold_norms(found, peer.norm_eps, float(option(target, "norm_eps")))
    expected = expected_tensors(target, f"{peer.framework} {peer.name}")
    missing, wrong = _compare(found, expected)
    unexpected += [there for there, here in mapped if here not in expected]
    return Conversion(
        peer, {name: found[name].contiguous() for name in found}, tuple(mapped), missing, tuple(unexpected), wrong,
        tuple(left), target, tuple(_differences(peer, target)),
    )  # fmt: skip


def to_peer(
    peer: PeerNetwork,
    tensors: Mapping[str, Tensor],
    description: Description,
    intensity_max: float | None = None,
) -> Conversion:
    """Convert our tensors to a peer's.

    Args:
        peer: the network that is to take them.
        tensors: by our names without `backbone.`.
        description: our network.
        intensity_max: the largest intensity that the peer will feed; None: its usual one.

    Returns:
        Tensors by the peer's names.

    Raises:
        UserError: our network is of another class.
    """
    _check_class(peer, description)
    description = _counted(description, widths(peer.network, tensors, description))
    source = _fold_norms(dict(tensors), float(option(description, "norm_eps")), peer.norm_eps)
    source = _fold_height(_scale(peer, source, -1.0, intensity_max), to_ours=False)
    order = {name: number for number, name in enumerate(expected_tensors(description, "the network"))}
    source = {name: source[name] for name in sorted(source, key=lambda name: order.get(name, len(order)))}
    found: dict[str, Tensor] = {}
    mapped, unexpected = [], []
    for name, tensor in source.items():
        layer, _, parameter = name.rpartition(".")
        row = next((row for row in peer.rows if row.peer_of(layer) is not None), None)
        if row is None:
            unexpected.append(name)
            continue
        there = _name_there(peer, row, layer, parameter)
        found[there] = _weight(peer, row, tensor).to_peer(tensor) if parameter == "weight" else tensor
        mapped.append((there, name))
        if row.kind is Kind.BIASED_KERNEL and parameter == "weight":
            found[_name_there(peer, row, layer, "bias")] = tensor.new_zeros(tensor.shape[0])
    expected = names_of(peer, description)
    missing, wrong = _compare(found, expected)
    return Conversion(
        peer, {name: found[name].contiguous() for name in found}, tuple(mapped), missing, tuple(unexpected), wrong,
        (), dict(description), tuple(_differences(peer, description)),
    )  # fmt: skip


def names_of(peer: PeerNetwork, description: Mapping[str, Any]) -> dict[str, Tensor]:
    """Names and shapes, on "meta", of the tensors that the peer's network expects.

    Widths are the published ones where the peer's code fixes them, else those of our network.
    """
    kept = {key: value for key, value in description.items() if key not in peer.fixed}
    target = {**peer.published(), **kept, **peer.layers}
    ours = _fold_height(expected_tensors(target, f"{peer.framework} {peer.name}"), to_ours=False)
    names: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        layer, _, parameter = name.rpartition(".")
        row = next((row for row in peer.rows if row.peer_of(layer) is not None), None)
        assert row is not None, f"{peer.name}: no row for {name}"
        there = _name_there(peer, row, layer, parameter)
        names[there] = _weight(peer, row, tensor).to_peer(tensor) if parameter == "weight" else tensor
        if row.kind is Kind.BIASED_KERNEL:
            names[_name_there(peer, row, layer, "bias")] = tensor.new_empty(tensor.shape[0])
    return names


def leading_layers(conversion: Conversion) -> Conversion:
    """The conversion up to the first layer, from the input on, that was not mapped whole; tensors there and here."""
    wrong = {here for there, here in conversion.mapped if there in conversion.wrong_shape}
    wrong |= set(conversion.unexpected)
    kept: list[tuple[str, str]] = []
    for there, here in conversion.mapped:
        if here in wrong:
            break
        kept.append((there, here))
    layers = {there.rpartition(".")[0] for there, _ in kept}
    tensors = {name: value for name, value in conversion.tensors.items() if name.rpartition(".")[0] in layers}
    return replace(conversion, tensors=tensors, mapped=tuple(kept))


def best_match(peers: Sequence[PeerNetwork], tensors: Mapping[str, Tensor], source: str) -> PeerNetwork:
    """The network whose table knows most of the names; of equal ones the first.

    Raises:
        UserError: none knows any.
    """

    def known(peer: PeerNetwork) -> tuple[int, int]:
        names = [name for name in _prefixed(peer, tensors) if not name.startswith(peer.heads)]
        layers = {name.rpartition(".")[0] for name in names}
        hits = sum(any(row.ours_of(layer) is not None for row in peer.rows) for layer in layers)
        return hits, hits - len(layers)

    best = max(peers, key=known)
    if known(best)[0] == 0:
        some = ", ".join(list(tensors)[:3]) or "nothing"
        raise UserError(f"{source}: holds no network of {best.framework} that is known here; it holds {some}, ...")
    return best


def _prefixed(peer: PeerNetwork, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with the prefix of whole checkpoints; a backbone saved alone lacks it."""
    if not peer.prefix or any(name.startswith(peer.prefix) for name in tensors):
        return dict(tensors)
    return {peer.prefix + name: tensor for name, tensor in tensors.items()}


def _name_there(peer: PeerNetwork, row: Row, layer: str, parameter: str) -> str:
    """The peer's name of a parameter of our layer."""
    weight = parameter == "weight" and row.kind is not Kind.NORM
    return f"{row.peer_of(layer)}.{peer.parameter if weight else parameter}"


def _weight(peer: PeerNetwork, row: Row, tensor: Tensor) -> Layout:
    """The layout of a layer's weight; batch norms have vectors."""
    if row.kind is Kind.NORM:
        return SAME
    kernel = peer.layouts.get(Kind.KERNEL, SAME)
    flat = peer.layouts.get(Kind.MAP, SAME)
    if row.kind is Kind.INPUT:
        return SAME if tensor.ndim == 2 else kernel
    if row.kind is Kind.BIASED_KERNEL:
        return kernel
    if row.kind in (Kind.MAP, Kind.UP):
        return flat
    if row.kind is Kind.FLAT_UP:
        return chained(peer.layouts.get(Kind.FLAT_UP, SAME), flat)
    return peer.layouts.get(row.kind, SAME)


def _fold_height(tensors: Mapping[str, Tensor], to_ours: bool) -> dict[str, Tensor]:
    """Swap the order of slices and channels in the input of SECOND's first 2D layer."""
    first = "neck.down.0.0.0.weight"
    stages = [int(name.split(".")[1]) for name in tensors if name.startswith("stages.")]
    if not stages or first not in tensors:
        return dict(tensors)
    norm = tensors.get(f"stages.{max(stages)}.norm.weight")
    if norm is None or tensors[first].shape[1] % len(norm):
        return dict(tensors)
    layout = height_folded(len(norm))
    return {**tensors, first: (layout.to_ours if to_ours else layout.to_peer)(tensors[first])}


def _scale(
    peer: PeerNetwork, tensors: Mapping[str, Tensor], exponent: float, intensity_max: float | None
) -> dict[str, Tensor]:
    column = peer.intensity_column()
    factor = (peer.inputs.intensity_max if intensity_max is None else intensity_max) ** exponent
    if column is None or factor == 1.0:
        return dict(tensors)
    layers = {row.ours for row in peer.rows if row.kind is Kind.INPUT}
    return {
        name: scaled_column(tensor, column, factor) if name.rpartition(".")[0] in layers else tensor
        for name, tensor in tensors.items()
    }


def _fold_norms(tensors: Mapping[str, Tensor], found: float, wanted: float) -> dict[str, Tensor]:
    result = dict(tensors)
    for name, variance in tensors.items():
        layer, _, parameter = name.rpartition(".")
        if parameter == "running_var" and f"{layer}.weight" in tensors:
            result[f"{layer}.weight"] = fold_eps(tensors[f"{layer}.weight"], variance, found, wanted)
    return result


def _counted(description: Description, found: Description) -> Description:
    """The description with the number of point features that the weights have, where it leaves it open."""
    return {"point_features": found.get("point_features", 1), **description}


def _differences(peer: PeerNetwork, description: Description) -> list[str]:
    constants = ("norm_eps", "norm_momentum")  # folded, or of training alone
    return differences(description, {key: value for key, value in peer.layers.items() if key not in constants})


def _check_class(peer: PeerNetwork, description: Description) -> None:
    if description[CLASS] != peer.network:
        raise UserError(
            f"{peer.framework} {peer.name} is equal to {peer.network} of ours, but the network here is a "
            f"{description[CLASS]}"
        )


def _compare(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[tuple[str, ...], dict[str, tuple[tuple[int, ...], tuple[int, ...]]]]:
    """Names that are missing, and those of another shape."""
    wrong = {
        name: (tuple(found[name].shape), tuple(expected[name].shape))
        for name in expected
        if name in found and found[name].shape != expected[name].shape
    }
    return tuple(name for name in expected if name not in found), wrong


def finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first tensor with a value that is not finite."""
    floats = ((name, tensor) for name, tensor in tensors.items() if tensor.is_floating_point())
    return next((name for name, tensor in floats if not bool(torch.isfinite(tensor).all())), None)
