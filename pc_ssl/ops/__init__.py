"""Compiled ops and their plain-torch twins."""

from pc_ssl.ops.reference import region_pool_reference
from pc_ssl.ops.region_pool import RegionPlan, region_gather, region_pool, region_softmax

__all__ = ["RegionPlan", "region_gather", "region_pool", "region_pool_reference", "region_softmax"]
