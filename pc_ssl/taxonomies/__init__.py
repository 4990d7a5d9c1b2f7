"""The classes of each known data set, one file each."""

from __future__ import annotations

from pc_ssl.taxonomies.kitti import KITTI
from pc_ssl.taxonomies.nuscenes import NUSCENES
from pc_ssl.taxonomies.scannet import SCANNET
from pc_ssl.taxonomies.taxonomy import IGNORE, NO_ATTRIBUTE, Taxonomy

TAXONOMIES: dict[str, Taxonomy] = {"nuscenes": NUSCENES, "scannet": SCANNET, "kitti": KITTI}  # by Manifest.dataset

__all__ = ["IGNORE", "KITTI", "NO_ATTRIBUTE", "NUSCENES", "SCANNET", "TAXONOMIES", "Taxonomy"]
