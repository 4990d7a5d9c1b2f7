"""Metrics, and results in the form in which they are written."""

from pc_ssl.evaluation.bev_map import BevMapMetric, BevMapResult
from pc_ssl.evaluation.detection_result import DetectionResult
from pc_ssl.evaluation.indoor_detection import IndoorDetectionMetric, IndoorDetectionResult
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.evaluation.segmentation import SegmentationMetric, SegmentationResult

__all__ = [
    "BevMapMetric",
    "BevMapResult",
    "DetectionResult",
    "IndoorDetectionMetric",
    "IndoorDetectionResult",
    "RunResult",
    "SegmentationMetric",
    "SegmentationResult",
]
