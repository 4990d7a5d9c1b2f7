"""PRC's losses on the point features of MinkUNet34, one sweep: to compare with SLidR and its successors, which pretrain
this network. CALICO itself has no such run.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --out cache --workers 16
pc-ssl pretrain configs/pretrain/prc_nuscenes_unet.py --cache cache --split parametrizing --work-dir work_dirs/prc_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.prc import PRC
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.nuscenes import _augmentation, _pretraining

method = dict(
    type=PRC,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # 0.1 m: SLidR's
    # published: CALICO, N and M of PRC
    views=dict(type=PairViews, augmentation=_augmentation, inside=1024, outside=1024),
    hidden_channels=256,  # ours
    embedding_channels=64,  # prototype
    temperature=0.1,  # prototype
    alpha=0.5,  # published: CALICO, Eq. 2
    negatives="all_points",  # reconstructed
)
train = _pretraining  # ours: CALICO's, as for the other methods on nuScenes
region = "dbscan"
