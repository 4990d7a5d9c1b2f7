"""Cost of a network, from its layers alone: parameters, activations, floating-point operations.

A copy of the network is moved to torch's "meta" device, where tensors have shapes and no memory, and is called on real
frames of the cache: which voxels are occupied and where pixels project is known, the features are not. Dense layers are
counted by torch's FLOP counter. A sparse convolution multiplies once for each pair of occupied voxels that an offset of
its kernel joins: 2 * pairs * in_channels * out_channels operations (`models/sparse.py`). The count is of one forward
    pass of
one frame; a training step takes about three times as much for each view (forward, and gradients of inputs and of
weights).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

BYTES = 4  # of a float32


@dataclass(frozen=True)
class Cost:
    """One network on one frame.

    Args:
        parameters: of the network.
        operations: floating-point operations of a forward pass; a multiplication and an addition are two.
        activation_bytes: outputs of dense layers and normalisations in float32, an estimate of what a training step
            keeps for its gradients. The output of a sparse convolution, as large as that of the normalisation after it,
            is not counted.
    """

    parameters: int
    operations: int
    activation_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.operations / 1e9:.1f} GFLOPs and "
            f"{self.activation_bytes / 2**20:.0f} MiB of activations (float32) for one frame forward"
        )


def cost_of(network: nn.Module, probe_network: Callable[[nn.Module], Any]) -> Cost:
    """The cost of `network` on one frame.

    Args:
        network: on the CPU; it is not changed.
        probe_network: calls the network on its input: real frames on the CPU.
    """
    network, given = _without_weights(network), 0

    def add(module: nn.Module, _: Any, output: Any) -> None:
        nonlocal given
        given += output.numel() if isinstance(output, Tensor) else 0

    leaves = [module for module in network.modules() if not list(module.children())]
    handles = [module.register_forward_hook(add) for module in leaves]
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter, _WithoutMemory():
            probe_network(network)
    finally:
        for handle in handles:
            handle.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, counter.get_total_flops(), BYTES * given)


def _without_weights(network: nn.Module) -> nn.Module:
    """A copy in train mode whose weights and statistics are on "meta"; geometry, such as depths, stays real."""
    network = copy.deepcopy(network).train()
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                module._buffers[name] = buffer.to("meta")
    return network


class _WithoutMemory(TorchDispatchMode):
    """If one operand of an operation is on "meta", the others are moved there too."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found: list[Tensor] = []
        tree_map_only(Tensor, found.append, (args, dict(kwargs or {})))
        if any(value.is_meta for value in found) and not all(value.is_meta for value in found):
            args, kwargs = tree_map_only(Tensor, lambda value: value.to("meta"), (args, dict(kwargs or {})))
        return func(*args, **(kwargs or {}))
