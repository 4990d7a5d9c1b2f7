"""Downstream tasks and their heads; the table `TASKS` holds the tasks."""

from pc_ssl.heads.bev_map import BevMapHead, MapTask
from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.heads.indoor_detection import IndoorDetectionTask
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.heads.transfusion import TransFusionHead

TASKS = {
    "detection": DetectionTask,
    "indoor_detection": IndoorDetectionTask,
    "map": MapTask,
    "segmentation": SegmentationTask,
}

__all__ = [
    "TASKS",
    "BevMapHead",
    "CenterPointHead",
    "DetectionTask",
    "IndoorDetectionTask",
    "MapTask",
    "SegmentationTask",
    "TransFusionHead",
]
