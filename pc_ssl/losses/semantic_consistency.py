"""CLIP2Scene's two losses.

Chen et al., "CLIP2Scene: Towards Label-efficient 3D Scene Understanding by CLIP", CVPR 2023, Sec. 3.2 and 3.3.

All in float32 (float64 stays). Reconstructed: embeddings of unit length. The paper writes scalar products D(a, b) and
does not say so, but CLIP compares by cosine, and without it Eq. 1 has no lower bound. The authors' code does not
normalise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pc_ssl.losses.reduction import connected_zero
from pc_ssl.ops import region_gather, region_pool


def semantic_consistency(point: Tensor, label: Tensor, text: Tensor, temperature: float) -> Tensor:
    """Eq. 1: points of a class are attracted to its text embedding, those of other classes repelled.

    -sum_c log[ sum_{i: t_i = c} exp(D(t_c, p_i) / tau) / sum_{j: t_j != c} exp(D(t_c, p_j) / tau) ], over the classes
    that have a point of their own and one of another class; as printed, the denominator holds only the points of other
    classes.

    Args:
        point: [P, D] p; of unit length, or not normalised.
        label: [P] int64 class c of each point, 0..C - 1.
        text: [C, D] t, unit length.
        temperature: tau; 0.5 in the paper.

    Returns:
        Scalar, negative when points fit their texts; a zero connected to `point` when fewer than two classes occur.
    """
    dtype = torch.promote_types(point.dtype, torch.float32)
    present = label.unique()
    if len(present) < 2:
        return connected_zero(point.to(dtype))
    with torch.autocast(point.device.type, enabled=False):
        similarity = point.to(dtype) @ text[present].to(dtype).T / temperature
        own = label[:, None] == present
        inside = similarity.masked_fill(~own, -torch.inf).logsumexp(dim=0)
        outside = similarity.masked_fill(own, -torch.inf).logsumexp(dim=0)
        return (outside - inside).sum()


def class_cross_entropy(point: Tensor, label: Tensor, text: Tensor) -> Tensor:
    """The loss of the authors' code instead of Eq. 1: cross-entropy of D(p, t_c), without a temperature.

    Arguments as in `semantic_consistency`; a zero connected to `point` when P is 0.
    """
    dtype = torch.promote_types(point.dtype, torch.float32)
    if len(point) == 0:
        return connected_zero(point.to(dtype))
    with torch.autocast(point.device.type, enabled=False):
        return cross_entropy(point.to(dtype) @ text.to(dtype).T, label)


def spatial_temporal_consistency(
    point: Tensor, image: Tensor | None, text: Tensor, cell: Tensor, num_cells: int, temperature: float
) -> Tensor:
    """Eq. 2-4: points of one cell, of all sweeps, are attracted to a common feature of the cell.

    1/N sum_n sum_{i in n} (1 - sigmoid(D(p_i, f_n))) with f_n = sum_{i in n} a_i x_i + b_i p_i, over the N cells that
    have a point; (a, b) is the softmax over all images' and points' terms of the cell, D(x_i, t_i) / lambda and
    D(p_i, t_i) / lambda.

    Args:
        point: [P, D] p.
        image: [P, D] x, feature of the pixel that shows each point; None leaves the image's terms out, as the authors'
            code does.
        text: [P, D] t, of the class of each pixel.
        cell: [P] int64 cell n of each point, 0..num_cells - 1; -1: the point is left out.
        num_cells: number of cells.
        temperature: lambda; 1 in the paper.

    Returns:
        Scalar, at least 0 and at most the mean number of points per cell; a zero connected to `point` when no point
            is in a cell.
    """
    dtype = torch.promote_types(point.dtype, torch.float32)
    if not bool((cell >= 0).any()):
        return connected_zero(point.to(dtype), None if image is None else image.to(dtype))
    disagreement = _disagreement(point, image, text, cell, num_cells, temperature)
    return disagreement.sum() / len(cell[cell >= 0].unique())


def released_consistency(
    point: Tensor, text: Tensor, cell: Tensor, num_cells: int, temperature: float, slots: int
) -> Tensor:
    """The loss of the authors' code instead of Eq. 2-4, for cells of at most `slots` points.

    It has no image terms, and its mean goes over all slots of the N cells: an empty one counts 1 - sigmoid(0).

    Args:
        point, text, cell, num_cells, temperature: as in `spatial_temporal_consistency`.
        slots: 8 in the code.

    Returns:
        Scalar in 0..1; a zero connected to `point` when no point is in a cell.
    """
    dtype = torch.promote_types(point.dtype, torch.float32)
    filled = int((cell >= 0).sum())
    if filled == 0:
        return connected_zero(point.to(dtype))
    total = slots * len(cell[cell >= 0].unique())
    return (_disagreement(point, None, text, cell, num_cells, temperature).sum() + 0.5 * (total - filled)) / total


def _disagreement(
    point: Tensor, image: Tensor | None, text: Tensor, cell: Tensor, num_cells: int, temperature: float
) -> Tensor:
    """1 - sigmoid(D(p_i, f_n)) of the points in cells, float32."""
    dtype = torch.promote_types(point.dtype, torch.float32)
    with torch.autocast(point.device.type, enabled=False):
        point, text = point.to(dtype), text.to(dtype)
        logit = (point * text).sum(dim=1, keepdim=True) / temperature
        image = None if image is None else image.to(dtype)
        image_logit = None if image is None else (image * text).sum(dim=1, keepdim=True) / temperature
        largest = (logit if image_logit is None else torch.maximum(logit, image_logit)).detach()
        of_cell = region_gather(region_pool(largest, cell, num_cells, reduce="max"), cell)
        shift = torch.where((cell < 0)[:, None], torch.maximum(largest, logit.detach()), of_cell)  # exp() of at most 1
        weight = (logit - shift).exp()
        value = weight * point
        if image is not None and image_logit is not None:
            of_image = (image_logit - shift).exp()
            weight, value = weight + of_image, value + of_image * image
        total = region_pool(weight, cell, num_cells, reduce="sum")
        feature = region_pool(value, cell, num_cells, reduce="sum") / total.clamp(min=torch.finfo(dtype).tiny)
        agreement = (point * region_gather(feature, cell)).sum(dim=1)
        return 1 - agreement[cell >= 0].sigmoid()
