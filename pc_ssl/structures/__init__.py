"""Small frozen containers that say shape, unit and frame."""

from pc_ssl.structures.points import PointBatch
from pc_ssl.structures.scene import Scene

__all__ = ["PointBatch", "Scene"]
