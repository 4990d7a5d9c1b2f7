"""FAC for VoxelNet/SECOND on nuScenes, ten sweeps.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --regions vccs --out cache --workers 16
pc-ssl pretrain configs/pretrain/fac_nuscenes_second.py --cache cache --work-dir work_dirs/fac_nuscenes_second
"""

from mmengine.config import read_base

from pc_ssl.methods.fac import FAC
from pc_ssl.views.foreground import ForegroundViews

with read_base():
    from .._base_.nuscenes import _augmentation, _pretraining
    from .._base_.nuscenes_bev import _second

method = dict(
    type=FAC,
    backbone=_second,
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
train = _pretraining
region = "vccs"  # reconstructed: FAC's abstract says segments
