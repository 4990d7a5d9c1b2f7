"""Small frozen containers with checked shapes; each states units and frame."""

from pc_ssl.structures.boxes import Boxes3D
from pc_ssl.structures.cameras import Camera, CameraBatch, CameraViews
from pc_ssl.structures.foreground import ForegroundBatch, ForegroundSample
from pc_ssl.structures.pairs import PairBatch, PairSample
from pc_ssl.structures.points import PointBatch
from pc_ssl.structures.scan_pairs import ScanPairBatch, ScanPairSample
from pc_ssl.structures.scene import Scene
from pc_ssl.structures.segmentation import IGNORE, SegmentationBatch, SegmentationSample
from pc_ssl.structures.sensors import BevMap, PixelPairs, SensorBatch, SensorSample

__all__ = [
    "IGNORE",
    "BevMap",
    "Boxes3D",
    "Camera",
    "CameraBatch",
    "CameraViews",
    "ForegroundBatch",
    "ForegroundSample",
    "PairBatch",
    "PairSample",
    "PixelPairs",
    "PointBatch",
    "ScanPairBatch",
    "ScanPairSample",
    "Scene",
    "SegmentationBatch",
    "SegmentationSample",
    "SensorBatch",
    "SensorSample",
]
