r"""PRC (CALICO's LiDAR stage) for VoxelNet/SECOND on nuScenes, ten sweeps.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
torchrun --nproc-per-node 4 -m pc_ssl.cli pretrain configs/pretrain/prc_nuscenes_second.py \
    --cache cache --work-dir work_dirs/prc
"""

from mmengine.config import read_base

from pc_ssl.methods.prc import PRC
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.nuscenes import _augmentation, _pretraining
    from .._base_.nuscenes_bev import _second

method = dict(
    type=PRC,
    backbone=_second,
    views=dict(
        type=PairViews,
        augmentation=_augmentation,
        inside=1024,  # published: CALICO, N and M of PRC
        outside=1024,  # published: CALICO, N and M of PRC
    ),
    hidden_channels=256,  # ours: the paper's projector is not known
    embedding_channels=64,  # prototype
    temperature=0.1,  # prototype; the paper's is not known
    alpha=0.5,  # published: CALICO, Eq. 2
    negatives="all_points",  # reconstructed
)
train = _pretraining
region = "dbscan"  # published: CALICO, region generator; eps 0.75 m, 5 points
