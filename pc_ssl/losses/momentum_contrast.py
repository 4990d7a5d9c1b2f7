"""Momentum contrast: a teacher that is a moving average of the student, and a queue of negatives.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, Sec. 3.2.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class MomentumTeacher(nn.Module):
    """A copy of a network whose parameters are the moving average of the student's (Eq. 2).

    theta_teacher <- m theta_teacher + (1 - m) theta_student. Buffers are the teacher's own: the running statistics of
    its normalisation come from its own forward passes, as in MoCo.

    Args:
        student: is copied; holds no reference to the copy.
        momentum: m, in [0, 1]; 0.999 in MoCo.

    Raises:
        ValueError: momentum outside [0, 1].
    """

    def __init__(self, student: nn.Module, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0.0 <= momentum <= 1.0:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.module = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        return self.module(*inputs)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """One step of the moving average towards the student's parameters; call it once per optimiser step."""
        for own, new in zip(self.module.parameters(), student.parameters(), strict=True):
            own.lerp_(new.to(own.dtype), 1.0 - self.momentum)


class MemoryQueue(nn.Module):
    """The embeddings of the last batches, as further candidates: `torch.cat([candidate, queue()])`.

    They are part of the state, so that a resumed run continues with the same negatives. Each process has its own queue.

    Args:
        size: K, embeddings kept.
        channels: D of each.
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.embedding: Tensor
        self.seen: Tensor
        self.register_buffer("embedding", torch.zeros(size, channels))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self) -> Tensor:
        """[min(K, embeddings seen), D] without gradient, in arbitrary order; a copy, unaffected by later `push`es."""
        return self.embedding[: int(self.seen)].clone()

    @torch.no_grad()
    def push(self, embedding: Tensor) -> None:
        """Append the embeddings [B, D]; they overwrite the oldest ones."""
        size, seen = len(self.embedding), int(self.seen)
        rows = torch.arange(seen, seen + len(embedding), device=self.embedding.device)[-size:] % size
        self.embedding[rows] = embedding[-size:].to(self.embedding.dtype)
        self.seen += len(embedding)
