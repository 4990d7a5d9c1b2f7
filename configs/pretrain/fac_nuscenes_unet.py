"""FAC on the point features of MinkUNet34 on nuScenes, one sweep.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --regions vccs --out cache --workers 16
pc-ssl pretrain configs/pretrain/fac_nuscenes_unet.py --cache cache --work-dir work_dirs/fac_nuscenes_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.fac import FAC
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.foreground import ForegroundViews

with read_base():
    from .._base_.nuscenes import _augmentation, _pretraining

method = dict(
    type=FAC,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # 0.1 m: SLidR's
    views=dict(type=ForegroundViews, augmentation=_augmentation, foreground=1024, background=1024),  # ours
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
train = _pretraining  # ours: CALICO's, as for the other methods on nuScenes
region = "vccs"  # reconstructed: FAC's abstract says segments
