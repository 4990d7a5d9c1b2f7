"""Compiled ops and their plain-torch twins."""

from pc_ssl.ops.reference import region_pool_reference
from pc_ssl.ops.region_pool import RegionPlan, region_gather, region_pool, region_softmax
from pc_ssl.ops.rotated_boxes import circle_nms, rotated_iou_3d, rotated_iou_bev, rotated_nms
from pc_ssl.ops.sparse_conv import ConvPlan, sparse_conv

__all__ = [
    "ConvPlan",
    "RegionPlan",
    "circle_nms",
    "region_gather",
    "region_pool",
    "region_pool_reference",
    "region_softmax",
    "rotated_iou_3d",
    "rotated_iou_bev",
    "rotated_nms",
    "sparse_conv",
]
