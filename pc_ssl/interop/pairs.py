"""Stored inputs and outputs of other frameworks' networks, and ours compared with them.

Each file of `pairs/` was written by the peer's own code, run outside this project at the commit that the file names:
a small network of random weights and running statistics, two frames of points, and its output. The weights are not
stored: they are drawn again, each tensor from a generator that its name seeds.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pc_ssl.interop.convert import PeerNetwork, from_peer
from pc_ssl.interop.networks import Description, build
from pc_ssl.models.features import BevFeatures
from pc_ssl.structures import PointBatch

FOLDER = Path(__file__).parent / "pairs"
TOLERANCE = 1e-6  # of the largest output, or of 1
METADATA = "pc_ssl"  # the one entry of a file's metadata


@dataclass(frozen=True)
class Pair:
    """Input and output of a peer's network.

    Args:
        path: the file.
        made_with: repository and commit whose code gave the output, and what was stood in for.
        description: our network that is to give the same.
        weights: by the peer's names, float64.
        points: two frames; intensity within 0..1, where the peer was given its own scale.
        output: map [B, C, H, W] with rows along y, or features [N, C] of the points.
    """

    path: Path
    made_with: str
    description: Description
    weights: Mapping[str, Tensor]
    points: PointBatch
    output: Tensor

    @property
    def scale(self) -> float:
        """What differences are judged by."""
        return max(1.0, float(self.output.abs().max()))


def pair_of(peer: PeerNetwork) -> Pair | None:
    """The stored pair of a network; None: there is none."""
    from safetensors import safe_open

    path = FOLDER / f"{peer.framework}_{peer.name}.safetensors"
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()[METADATA])
        points = PointBatch(file.get_tensor("points").double(), file.get_tensor("offsets"))
        output = file.get_tensor("output").double()
    return Pair(path, stored["made_with"], stored["network"], random_weights(stored["weights"]), points, output)


def random_weights(recipe: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights that are the same on every machine, float64 with values of float32.

    Args:
        recipe: name -> shape, lower and upper bound.
    """
    tensors = {}
    for name, (shape, low, high) in recipe.items():
        values = np.random.RandomState(zlib.crc32(name.encode())).uniform(low, high, shape)
        tensors[name] = torch.from_numpy(values.astype(np.float32).astype(np.float64))
    return tensors


def difference(peer: PeerNetwork, pair: Pair) -> float:
    """The largest absolute difference between the peer's output and that of our network with its weights.

    Raises:
        ValueError: a tensor of our network is missing, unexpected or of another shape.
    """
    conversion = from_peer(peer, pair.weights, pair.description)
    network = build(pair.description, str(pair.path)).double()
    load(network, conversion.tensors)
    return float((output_of(network, pair.points) - pair.output).abs().max())


def load(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load all tensors; the counters of batch norms, which some frameworks leave out, may be missing.

    Raises:
        ValueError: a tensor is missing, unexpected or of another shape.
    """
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({**counters, **tensors})
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from None


def output_of(network: nn.Module, points: PointBatch) -> Tensor:
    """Map or point features of the network in evaluation."""
    network.eval()
    with torch.no_grad():
        found = network(points)
    return found.map if isinstance(found, BevFeatures) else found.at_points(points)


def probe(description: Description, tensors: Mapping[str, Tensor] | None) -> Tensor:
    """Output for a fixed cloud of points, on a grid of few voxels.

    Args:
        description: our network; the extent of its grid does not change its weights.
        tensors: its weights; None: random ones.
    """
    small = dict(description)
    generator = torch.Generator().manual_seed(0)
    low, size = torch.tensor([-3.2, -3.2, -2.0]), torch.tensor([6.4, 6.4, 2.0])
    if "grid" in small:
        grid = small["grid"]
        edges = [edge * count for edge, count in zip(grid["voxel_size"][:2], (32, 48), strict=True)]
        small["grid"] = {
            "lower": [0.0, 0.0, grid["lower"][2]], "upper": [*edges, grid["upper"][2]], "voxel_size": grid["voxel_size"]
        }  # fmt: skip
        low = torch.tensor(small["grid"]["lower"])
        size = torch.tensor(small["grid"]["upper"]) - low
    features = int(small.get("point_features", 1))
    xyz = low + torch.rand(300, 3, generator=generator) * size
    points = torch.cat([xyz, torch.rand(300, features, generator=generator)], dim=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(small, "the network to be tried")
    if tensors is not None:
        load(network, tensors)
    return output_of(network, PointBatch.pack([points]))
