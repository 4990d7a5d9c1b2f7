"""PRC of the benchmark's LiDAR branch of BEV networks.

pc-ssl pretrain configs/proof/bev_prc.py --cache cache --work-dir work_dirs/bev_prc
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.prc import PRC
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.proof_bev import _augmentation, _lidar

method = dict(
    type=PRC,
    backbone=_lidar,
    # ours; published: CALICO, 1024 points each
    views=dict(type=PairViews, augmentation=_augmentation, inside=512, outside=512),
    alpha=0.5,
)
train = dict(
    type=TrainOptions, steps=1500, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
region = "dbscan"
