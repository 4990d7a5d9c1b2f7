"""ScanNet's class names as lists, from `pc_ssl.taxonomies.scannet`."""

from __future__ import annotations

from pc_ssl.taxonomies.scannet import BENCHMARK_IDS, NYU40, SCANNET

LABEL_CLASSES, BOX_CLASSES = list(SCANNET.label_classes), list(SCANNET.box_classes)

__all__ = ["BENCHMARK_IDS", "BOX_CLASSES", "LABEL_CLASSES", "NYU40"]
