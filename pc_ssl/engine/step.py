"""One optimiser step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pc_ssl.engine.distributed import Process
from pc_ssl.engine.options import TrainOptions
from pc_ssl.errors import UserError
from pc_ssl.models.voxelize import OutsideGrid


class NonFinite(Exception):
    """The loss or the gradient of a step is infinite or NaN; the weights were not updated."""


class TrainStep(nn.Module):
    """Forward, backward, clipping, update.

    Args:
        module: on the device of `process`; `module(batch)` returns {"loss": ..., named terms}, each a scalar.
        optimizer: of the module's parameters.
        options: precision and clipping.
        process: with more than one, gradients are averaged over them.
    """

    def __init__(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, options: TrainOptions, process: Process
    ) -> None:
        super().__init__()
        self.optimizer, self.device, self.clip_norm = optimizer, process.device, options.clip_norm
        self.low_precision = options.precision == "bf16"
        self.network = module
        if process.world_size > 1:
            self.network = nn.parallel.DistributedDataParallel(module)

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """One step; returns the module's terms, and "grad_norm", the L2 norm of all gradients before clipping.

        Raises:
            NonFinite: the loss or the gradient is not finite.
            UserError: the network's grid holds no point of the batch.
        """
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.low_precision):
                terms = self.network(batch.to(self.device))
        except OutsideGrid as error:
            raise UserError(f"frames {', '.join(batch.tokens)}: {error}; are these the grid's units?") from error
        if not bool(terms["loss"].isfinite()):
            raise NonFinite(", ".join(f"{name} {value.item():g}" for name, value in terms.items()))
        if terms["loss"].requires_grad:  # False if the batch has nothing to learn from
            terms["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        if not bool(norm.isfinite()):
            raise NonFinite(f"grad_norm {float(norm):g}")
        self.optimizer.step()
        self.optimizer.zero_grad()
        return terms | {"grad_norm": norm}


def seed_forward(seed: int, device: torch.device) -> None:
    """Seed the randomness of a forward pass.

    torch.manual_seed would format a stack for each kind of device that is absent: 0.3 ms each step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
