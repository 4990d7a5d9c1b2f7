"""KITTI's object detection benchmark: boxes alone."""

from __future__ import annotations

from pc_ssl.taxonomies.taxonomy import Taxonomy

_BOXES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")  # the devkit's types

KITTI = Taxonomy(box_classes=_BOXES, detected_classes=_BOXES)
