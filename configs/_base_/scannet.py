"""The network that the downstream configs of ScanNet share, and which those in pretrain/ train."""

from pc_ssl.models.lidar import SparseUNet

# 0.025 m: PointContrast's, published; points bring colours and normals
_backbone = dict(type=SparseUNet, voxel_size=(0.025, 0.025, 0.025))
