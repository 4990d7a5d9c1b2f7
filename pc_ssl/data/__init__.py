"""The cache of prepared keyframes, data sets of its frames, and samplers of batches.

Preparation imports this package in many processes that do not need torch: `CacheScenes` is in `pc_ssl.data.dataset`,
transforms of scenes are in `pc_ssl.data.transforms`.
"""

from pc_ssl.data.cache import Cache, Frame

__all__ = ["Cache", "Frame"]
