"""Small frozen containers that say shape, unit and frame."""

from pc_ssl.structures.pairs import PairBatch, PairSample
from pc_ssl.structures.points import PointBatch
from pc_ssl.structures.scene import Scene
from pc_ssl.structures.segmentation import IGNORE, SegmentationBatch, SegmentationSample

__all__ = ["IGNORE", "PairBatch", "PairSample", "PointBatch", "Scene", "SegmentationBatch", "SegmentationSample"]
