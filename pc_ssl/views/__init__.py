"""Views: from a scene to a training sample; the table `VIEWS` holds them."""

from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.foreground import ForegroundViews
from pc_ssl.views.frame_pairs import FramePairs
from pc_ssl.views.lidar import Augmentation, PairViews, SingleView
from pc_ssl.views.scan_pairs import ScanPairViews
from pc_ssl.views.sensors import SensorViews

VIEWS = {
    "drawn": DrawnViews,
    "foreground": ForegroundViews,
    "pair": PairViews,
    "scan_pairs": ScanPairViews,
    "sensors": SensorViews,
    "single": SingleView,
}

__all__ = [
    "VIEWS",
    "Augmentation",
    "DrawnViews",
    "ForegroundViews",
    "FramePairs",
    "ImageAugmentation",
    "PairViews",
    "ScanPairViews",
    "SensorViews",
    "SingleView",
]
