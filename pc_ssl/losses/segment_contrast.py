"""Contrast of segments and points: the segment term of FAC.

Liu et al., "FAC: 3D Representation Learning via Foreground Aware Feature Contrast", CVPR 2023. Published: points of one
segment are positives, and segments that are likely of one class are not contrasted. Reconstructed: the
formula, the views of the positives (`SegmentPositives`), and how such segments are found (`SegmentNegatives`). Computed
in float32 (float64 stays).
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses.nearest import most_similar
from pc_ssl.losses.reduction import connected_zero
from pc_ssl.losses.similarity import Pairs, similarity_logsumexp
from pc_ssl.ops import region_pool


class SegmentPositives(StrEnum):
    """The views in which a segment has its positives.

    OTHER_VIEW: the view that the segment's feature is not computed from, so that the two views must agree.
    BOTH_VIEWS: both views. The part within one view can be minimised without agreement between the views.
    """

    OTHER_VIEW = "other_view"
    BOTH_VIEWS = "both_views"


class SegmentNegatives(StrEnum):
    """Which points are the negatives of a segment.

    OTHER_SEGMENTS: those of all other segments, and those outside segments.
    UNLIKE_SEGMENTS: the same without the segment that is likely of the same class: two segments whose features are
        each other's nearest are not contrasted.
    """

    OTHER_SEGMENTS = "other_segments"
    UNLIKE_SEGMENTS = "unlike_segments"


def segment_contrast(
    first: Tensor,
    second: Tensor,
    region: Tensor,
    temperature: float,
    negatives: SegmentNegatives = SegmentNegatives.UNLIKE_SEGMENTS,
    positives: SegmentPositives = SegmentPositives.OTHER_VIEW,
) -> Tensor:
    """L_geo: each segment is contrasted with all points of the other view, or of both.

    -1/|S| sum_S log [ sum_{i in S} exp(f_S . f_i / t) / (sum_{i in S} exp(f_S . f_i / t) + sum_{k in K_S} ...) ], over
    the segments of both views: f_S is the normalised mean of a segment's points in one view; i and k run over the views
    that `positives` names, K_S are the points that `negatives` names.

    Args:
        first: [S, D] embeddings f of unit length.
        second: [S, D] embeddings of the same points in the other view.
        region: [S] int64 segment of each point, unique over the batch; -1 means none: such a point serves only as a
            negative.
        temperature: t.
        negatives: reconstructed.
        positives: reconstructed.

    Returns:
        Scalar; a zero that is connected to both inputs when no point is in a segment.
    """
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        first, second = first.to(dtype), second.to(dtype)
        ids, segment = region.clamp(min=-1).unique(return_inverse=True)
        outside = int((ids < 0).sum())  # 1 if there is a -1, which comes first
        segment, count = segment - outside, len(ids) - outside
        if count == 0:
            return connected_zero(first, second)
        pooled = [normalize(region_pool(view, segment, count), dim=1) for view in (first, second)]
        cluster = torch.arange(count, device=region.device)
        if negatives is SegmentNegatives.UNLIKE_SEGMENTS and count > 1:
            cluster = mutual_nearest(normalize(pooled[0] + pooled[1], dim=1).detach())
        alike = torch.where(segment < 0, -1, cluster[segment])
        own = torch.arange(count, device=region.device)
        terms = []
        for feature, candidate in zip(pooled, (second, first), strict=True):
            copies = 1
            if positives is SegmentPositives.BOTH_VIEWS:
                candidate, copies = torch.cat([first, second]), 2
            scaled = feature / temperature
            mine = Pairs(None, own, segment.repeat(copies), within_group=True)
            near = similarity_logsumexp(scaled, candidate, mine)
            far = similarity_logsumexp(scaled, candidate, Pairs(None, cluster, alike.repeat(copies)))
            terms.append(torch.logaddexp(near, far) - near)
        return torch.cat(terms).mean()


def mutual_nearest(feature: Tensor) -> Tensor:
    """[R] int64: the lower row of two mutual nearest neighbours among feature [R, D], R > 1; else the row itself."""
    row = torch.arange(len(feature), device=feature.device)
    nearest = most_similar(feature, feature, 1, left_out=row)[:, 0]
    return torch.where(nearest[nearest] == row, torch.minimum(row, nearest), row)
