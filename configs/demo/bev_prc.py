"""PRC for the BEV demo: the LiDAR branch, two minutes on one core of a CPU.

pc-ssl pretrain configs/demo/bev_prc.py --cache cache --work-dir work_dirs/bev_prc
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.prc import PRC
from pc_ssl.views.lidar import Augmentation, PairViews

with read_base():
    from .._base_.small_bev import _lidar

method = dict(
    type=PRC,
    backbone=_lidar,
    views=dict(type=PairViews, augmentation=dict(type=Augmentation), inside=512, outside=512),
    alpha=0.5,
)
train = dict(
    type=TrainOptions, steps=350, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=10, checkpoint_every=50
)
region = "dbscan"
