"""LiDAR backbones."""

from pc_ssl.models.lidar.second import SECOND
from pc_ssl.models.lidar.sparse_unet import SparseUNet

__all__ = ["SECOND", "SparseUNet"]
