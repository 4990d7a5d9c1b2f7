"""Linear probe: the best linear classifier on the point features of a frozen backbone.

The backbone does not learn, so its features are computed once per frame and the classifier is fitted to them directly.
Every initialisation, pretrained or random, is evaluated by the same steps:

1. batch normalisation statistics are estimated anew on the training frames, without labels: those of a random network
   match no data, and those of a pretrained one match augmented views;
2. labelled points are drawn uniformly from each training frame, and their features standardised;
3. multinomial logistic regression with L2 decay is solved to convergence with L-BFGS. The problem is convex, so
   there is nothing to tune per initialisation, and only the sampled points differ between runs;
4. the standardisation is folded into the weights, which gives a plain `nn.Linear` on the backbone's features.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pc_ssl.protocols import Backbone
from pc_ssl.structures import IGNORE, PointBatch

DECAY = 1e-4  # of the squared weights on standardised features; keeps the optimum finite where classes separate
SMALLEST_STD = 1e-6  # a feature that varies less is constant
MAX_ITERATIONS = 500
TOLERANCE = 1e-5  # of the largest gradient entry


@dataclass(frozen=True)
class LinearFit:
    """A fitted classifier, and how close to the optimum the solver came.

    Args:
        head: [C] features -> [num_classes - 1] logits; column k is class k + 1.
        loss: cross-entropy + decay at the end, nats.
        gradient: largest absolute entry of its gradient.
        iterations: number of L-BFGS iterations.
    """

    head: nn.Linear
    loss: float
    gradient: float
    iterations: int


def estimate_batch_norm(backbone: nn.Module, clouds: Iterable[PointBatch], device: torch.device) -> None:
    """Replace the batch normalisation statistics by their average over `clouds`; no weight changes."""
    torch.optim.swa_utils.update_bn(clouds, backbone, device=device)


def uniform_sample(label: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows [S] int64 of at most `count` points that have a label, drawn uniformly without replacement.

    Args:
        label: [N] int64 on the CPU, 0 means ignore.
        count: how many points to keep.
        generator: on the CPU; draws the points.
    """
    rows = (label != IGNORE).nonzero()[:, 0]
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


@torch.no_grad()
def features_at(backbone: Backbone, points: PointBatch, rows: Tensor) -> Tensor:
    """[S, C] float32 on the CPU: features of the points in `rows` [S]; the backbone is in eval mode."""
    return backbone(points).at_points(points, rows.to(points.points.device)).float().cpu()


def fit_linear(feature: Tensor, label: Tensor, num_classes: int) -> LinearFit:
    """Solve multinomial logistic regression on standardised features; deterministic.

    Args:
        feature: [S, C] float32.
        label: [S] int64 in 1..num_classes - 1.
        num_classes: with `ignore` as class 0.

    Raises:
        ValueError: no points, or a feature that is not finite.
    """
    if len(feature) == 0 or not bool(feature.isfinite().all()):
        raise ValueError(f"fit_linear: need finite features of at least one point, got {tuple(feature.shape)}")
    mean, std = feature.mean(dim=0), feature.std(dim=0, correction=0)
    scale = torch.where(std > SMALLEST_STD, 1 / std.clamp_min(SMALLEST_STD), torch.zeros_like(std))
    standard = (feature - mean) * scale
    head = nn.utils.skip_init(nn.Linear, feature.shape[1], num_classes - 1, device=feature.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=MAX_ITERATIONS, tolerance_grad=TOLERANCE, tolerance_change=0.0,
        history_size=20, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(standard), label - 1) + 0.5 * DECAY * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    loss = closure()
    gradient = max(float(parameter.grad.abs().max()) for parameter in head.parameters() if parameter.grad is not None)
    iterations = optimizer.state[next(iter(head.parameters()))]["n_iter"]
    with torch.no_grad():
        head.weight *= scale
        head.bias -= head.weight @ mean
    head.zero_grad(set_to_none=True)
    return LinearFit(head, loss.item(), gradient, iterations)
