"""The cache of prepared keyframes, and what draws batches from it.

Preparation imports this package in many processes, which need no torch: `CacheScenes` is in `pc_ssl.data.dataset`,
transforms of scenes are in `pc_ssl.data.transforms`.
"""

from pc_ssl.data.cache import Cache, Frame

__all__ = ["Cache", "Frame"]
