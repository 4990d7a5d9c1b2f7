"""Networks; the table `BACKBONES` holds those that can be pretrained."""

from pc_ssl.models.camera import LiftSplat
from pc_ssl.models.features import BevFeatures, PointFeatures
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.models.lidar import SECOND, PointPillars, SparseUNet
from pc_ssl.models.networks import grids_of, networks_of

BACKBONES = {
    "bev_encoder": BevEncoder,
    "lift_splat": LiftSplat,
    "point_pillars": PointPillars,
    "second": SECOND,
    "sparse_unet": SparseUNet,
}

__all__ = [
    "BACKBONES",
    "SECOND",
    "BevEncoder",
    "BevFeatures",
    "ConvFuser",
    "LiftSplat",
    "PointFeatures",
    "PointPillars",
    "SparseUNet",
    "grids_of",
    "networks_of",
]
