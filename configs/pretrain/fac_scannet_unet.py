"""FAC in the rooms of ScanNet.
Origin of the values: published, prototype or ours.

pc-ssl prepare scannet --root scannet --regions vccs --out cache --workers 16
pc-ssl pretrain configs/pretrain/fac_scannet_unet.py --cache cache --work-dir work_dirs/fac_scannet_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.fac import FAC
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.foreground import ForegroundViews
from pc_ssl.views.lidar import Augmentation

with read_base():
    from .._base_.nuscenes import _pretraining

_room = dict(type=Augmentation, rotation=3.141592653589793, scale=(0.9, 1.1), flip=0.5, shift=0.0)  # ours

method = dict(
    type=FAC,
    backbone=dict(type=SparseUNet, voxel_size=(0.025, 0.025, 0.025)),  # 0.025 m: PointContrast's
    views=dict(type=ForegroundViews, augmentation=_room, foreground=1024, background=1024),  # ours
    hidden_channels=256,  # ours
    embedding_channels=128,  # prototype
    temperature=0.1,  # prototype
    alpha=1.0,  # reconstructed, as all below
    beta=1.0,
    negatives="unlike_segments",
    positives="other_view",
    correspondence="across_and_within",
    correlated=4,
)
train = dict(_pretraining, steps=20000)  # ours
region = "vccs"  # reconstructed: FAC's abstract says segments; "graph" are the segments of ScanNet's own method
