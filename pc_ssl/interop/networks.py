"""Descriptions of our backbones that fit into a file's metadata, and what the shapes of tensors say about them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pc_ssl.errors import UserError
from pc_ssl.geometry import BevGrid
from pc_ssl.models.lidar import SECOND, PointPillars, SparseUNet
from pc_ssl.models.voxelize import voxel_channels

# Only these are built from a description, so that a file cannot have other code run.
NETWORKS: Mapping[str, type[nn.Module]] = {"SECOND": SECOND, "PointPillars": PointPillars, "SparseUNet": SparseUNet}
# Options that change outputs and that the shapes of tensors do not show
LAYERS: Mapping[str, tuple[str, ...]] = {
    "SECOND": ("voxel_features", "extra_slice", "z_paddings", "norm_eps"),
    "PointPillars": ("level", "height_offset", "max_points", "norm_eps"),
    "SparseUNet": ("coordinates", "voxel_features", "norm_eps"),
}
CLASS = "network"  # key of the class's name
Description = dict[str, Any]  # {"network": "SECOND", "grid": {...}, "point_features": 2, ...}: JSON


def build(description: Mapping[str, Any], source: str) -> nn.Module:
    """The network of a description, with random weights.

    Args:
        description: see `Description`.
        source: its origin, for errors.

    Raises:
        UserError: the class is not one of ours, or does not accept its arguments.
    """
    name = str(description.get(CLASS))
    if name not in NETWORKS:
        raise UserError(f"{source}: the network is {name!r}, expected one of {', '.join(NETWORKS)}")
    arguments = {key: _from_json(value) for key, value in description.items() if key != CLASS}
    known = inspect.signature(NETWORKS[name]).parameters
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise UserError(f"{source}: {name} has no argument {unknown[0]!r}; it has {', '.join(known)}")
    try:
        return NETWORKS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{source}: {name} cannot be built ({' '.join(str(error).split())})") from error


def expected_tensors(description: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """Names and shapes of the network's tensors, on "meta"."""
    with torch.device("meta"):
        return dict(build(description, source).state_dict())


def describe(network: nn.Module) -> Description | None:
    """The description of a network, from which `build` makes one of the same layers; None: not one of `NETWORKS`."""
    layers: Description
    if isinstance(network, SECOND):
        layers = {
            "grid": network.grid, "block": network.block, "stage_blocks": network.stage_blocks,
            "voxel_features": network.voxel_features, "extra_slice": bool(network.extra_slices),
            "z_paddings": network.z_paddings,
        }  # fmt: skip
    elif isinstance(network, PointPillars):
        layers = {
            "grid": network.grid, "level": network.level, "point_layers": len(network.first_layers) + 1,
            "height_offset": network.height_offset, "max_points": network.max_points,
        }  # fmt: skip
    elif isinstance(network, SparseUNet):
        layers = {
            "voxel_size": network.voxel_size, "coordinates": network.coordinates, "stem_layers": len(network.stem),
            "voxel_features": network.voxel_features,
        }  # fmt: skip
    else:
        return None
    norm = next(module for module in network.modules() if isinstance(module, _BatchNorm))
    layers |= {"norm_eps": norm.eps, "norm_momentum": norm.momentum}
    name = type(network).__name__
    found = {
        CLASS: name,
        **layers,
        **widths(name, network.state_dict(), layers),
        "point_features": network.point_features,
    }
    return json.loads(json.dumps({key: _to_json(value) for key, value in found.items()}))


def option(description: Mapping[str, Any], name: str) -> Any:
    """An option of the network, or its default, as JSON has it."""
    default = inspect.signature(NETWORKS[description[CLASS]]).parameters[name].default
    if name == "z_paddings" and description.get(name) is None:
        default = (1,) * len(option(description, "stage_channels"))
        return list(default)
    return json.loads(json.dumps(_to_json(description.get(name, default))))


def layer_differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Options in which two networks differ although all shapes may agree: outputs would not be equal."""
    if found[CLASS] != expected[CLASS]:
        return [f"{CLASS} is {found[CLASS]!r}, expected {expected[CLASS]!r}"]
    return differences(found, {name: option(expected, name) for name in LAYERS[expected[CLASS]]})


def differences(description: Mapping[str, Any], layers: Mapping[str, Any]) -> list[str]:
    """Options of a network that differ from `layers`, as `name is X, expected Y`."""
    expected = {name: json.loads(json.dumps(_to_json(value))) for name, value in layers.items()}
    found = {name: option(description, name) for name in expected}
    return [
        f"{name} is {found[name]!r}, expected {expected[name]!r}" for name in expected if found[name] != expected[name]
    ]


def as_config(description: Mapping[str, Any]) -> str:
    """The description as one writes it in a config file."""

    def text(value: Any) -> str:
        if isinstance(value, dict):
            inner = ", ".join(f"{key}={text(item)}" for key, item in value.items())
            return f"dict(type=BevGrid, {inner})"
        if isinstance(value, list):
            return f"({', '.join(map(text, value))}{',' if len(value) == 1 else ''})"
        return repr(value)

    arguments = [f"{key}={text(value)}" for key, value in description.items() if key != CLASS]
    return f"dict(type={description[CLASS]}, {', '.join(arguments)})"


def widths(network: str, tensors: Mapping[str, Tensor], layers: Mapping[str, Any]) -> Description:
    """Options that follow from the shapes of our tensors; those of absent tensors are left out.

    Args:
        network: name of our class.
        tensors: by our names.
        layers: options that shapes do not show, such as `block`.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    found = {"SECOND": _second, "PointPillars": _pillars, "SparseUNet": _unet}[network](shapes, layers)
    return {key: value for key, value in found.items() if value}


Shapes = Mapping[str, tuple[int, ...]]


def _second(shapes: Shapes, layers: Mapping[str, Any]) -> Description:
    blocks = layers.get("stage_blocks", (2, 2, 2, 2))
    residual = layers.get("block") == "residual"
    first = [0]
    for level, count in enumerate(blocks):
        first.append(first[-1] + count + (1 if level > 0 or residual else 0))
    channels = [_rows(shapes, f"stages.{index}.convolution.weight") for index in first]
    kind = layers.get("voxel_features", "offset")
    inputs = _columns(shapes, "stages.0.convolution.weight")
    return {
        "point_features": inputs - voxel_channels(kind, 1) + 1 if inputs else 0,
        "stage_channels": channels[:-1] if all(channels[:-1]) else [],
        "height_channels": channels[-1] if channels[-1] != channels[-2] else 0,
        **_neck(shapes),
    }


def _pillars(shapes: Shapes, layers: Mapping[str, Any]) -> Description:
    first = "first_layers.0.linear.weight" if "first_layers.0.linear.weight" in shapes else "linear.weight"
    inputs = _columns(shapes, first)
    return {
        "point_features": inputs - (9 if layers.get("height_offset") else 8) if inputs else 0,
        "pillar_channels": _rows(shapes, "linear.weight"),
        **_neck(shapes),
    }


def _unet(shapes: Shapes, layers: Mapping[str, Any]) -> Description:
    inputs = _columns(shapes, "stem.0.convolution.weight")
    levels = range(_count(shapes, "down.{}.convolution.weight"))
    kind = layers.get("voxel_features", "offset")
    return {
        "point_features": inputs - voxel_channels(kind, 1) + 1 if inputs else 0,
        "stem_channels": _rows(shapes, "stem.0.convolution.weight"),
        "encoder_channels": [_rows(shapes, f"encoder.{i}.0.second.weight") for i in levels],
        "encoder_blocks": [_count(shapes, f"encoder.{i}.{{}}.second.weight") for i in levels],
        "decoder_channels": [_rows(shapes, f"up.{i}.convolution.weight") for i in levels],
        "decoder_blocks": [_count(shapes, f"decoder.{i}.{{}}.second.weight") for i in levels],
    }


def _neck(shapes: Shapes) -> Description:
    stages = range(_count(shapes, "neck.down.{}.0.0.weight"))
    return {
        "neck_channels": [_rows(shapes, f"neck.down.{s}.0.0.weight") for s in stages],
        "neck_layers": [_count(shapes, f"neck.down.{s}.{{}}.0.weight") for s in stages],
        "upsampled_channels": _rows(shapes, "neck.up.0.1.weight"),
    }


def _rows(shapes: Shapes, name: str) -> int:
    return shapes[name][0] if shapes.get(name) else 0


def _columns(shapes: Shapes, name: str) -> int:
    return shapes[name][-1] if shapes.get(name) else 0


def _count(shapes: Shapes, pattern: str) -> int:
    number = 0
    while pattern.format(number) in shapes:
        number += 1
    return number


def _to_json(value: Any) -> Any:
    if isinstance(value, BevGrid):
        return {"lower": list(value.lower), "upper": list(value.upper), "voxel_size": list(value.voxel_size)}
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items() if key != "type"}
    return list(value) if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return BevGrid(**{key: tuple(item) for key, item in value.items()})
    return tuple(value) if isinstance(value, list) else value
