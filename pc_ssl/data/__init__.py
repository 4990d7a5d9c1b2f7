"""The cache of prepared keyframes, and what draws batches from it."""

from pc_ssl.data.cache import Cache, Frame

__all__ = ["Cache", "Frame"]
