"""Weights whose entries are permuted within each tensor: the negative control of a pretraining.

They keep the scale and the distribution of every layer's weights, and lose what the layer computes. A start from them
that beats one from scratch shows an effect of the scale alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

NORMALISATION = (_NormBase, nn.LayerNorm, nn.GroupNorm)


@torch.no_grad()
def permute_weights(module: nn.Module, seed: int) -> None:
    """Permute the entries of each tensor of `module` in place; a function of the weights and `seed`.

    The vectors of a normalisation layer (weight, bias, running mean and variance) are permuted by one order of its
    channels, so that each channel keeps its own four numbers. Every other parameter or floating buffer that is saved
    with the weights is permuted by an order of its own. Counters do not change.
    """
    for name, layer in module.named_modules():
        own = {key: value for key, value in layer.state_dict(keep_vars=True).items() if "." not in key}
        tensors = [value for value in own.values() if value.is_floating_point() and value.numel() > 1]
        if isinstance(layer, NORMALISATION):
            _permute(tensors, [seed, *name.encode()])
        else:
            for key, value in own.items():
                if value.is_floating_point():
                    _permute([value], [seed, *f"{name}.{key}".encode()])


def _permute(tensors: list[Tensor], seed: list[int]) -> None:
    """One order for the entries of all tensors, which are of equal length."""
    if tensors:
        order = torch.from_numpy(np.random.default_rng(seed).permutation(tensors[0].numel()))
        for tensor in tensors:
            tensor.copy_(tensor.flatten()[order.to(tensor.device)].view_as(tensor))
