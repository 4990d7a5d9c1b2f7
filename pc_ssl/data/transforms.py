"""Transforms of scenes, applied before the views. `TRANSFORMS` lists them; configs use them under `transforms`."""

from pc_ssl.data.annotations import FewLabels
from pc_ssl.data.drawn_sweeps import DrawnSweeps
from pc_ssl.data.object_bank import ObjectPaste
from pc_ssl.data.shuffled_regions import ShuffledRegions
from pc_ssl.data.swapped import SwappedSensors
from pc_ssl.data.thinning import DropCuboid, OneImage, PointLimit

TRANSFORMS = {
    "drop_cuboid": DropCuboid,
    "drawn_sweeps": DrawnSweeps,
    "few_labels": FewLabels,
    "object_paste": ObjectPaste,
    "one_image": OneImage,
    "point_limit": PointLimit,
    "shuffled_regions": ShuffledRegions,
    "swapped_sensors": SwappedSensors,
}

__all__ = ["TRANSFORMS", *sorted(kind.__name__ for kind in TRANSFORMS.values())]
