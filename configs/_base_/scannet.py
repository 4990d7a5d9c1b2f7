"""The network that the downstream configs of ScanNet share, and which those in pretrain/ train."""

from pc_ssl.models.lidar import SparseUNet

# published: PointContrast, implementation details; voxels of 0.025 m. Points bring colours and normals
_backbone = dict(type=SparseUNet, voxel_size=(0.025, 0.025, 0.025))
