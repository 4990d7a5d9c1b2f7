"""PRC for the demo: a small sparse UNet, minutes on one core of a CPU.

pc-ssl pretrain configs/demo/prc.py --cache cache --work-dir work_dirs/demo/pretrain/prc-0
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.prc import PointRegionContrast
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.small_unet import _augmentation, _backbone

method = dict(
    type=PointRegionContrast,
    backbone=_backbone,
    views=dict(type=PairViews, augmentation=_augmentation, inside=512, outside=512),
    hidden_channels=256,
    embedding_channels=64,
    temperature=0.1,
    alpha=0.1,  # chosen among 0.1, 0.5 and 0.9 on other simulated streets than the demo's
    negatives="all_points",
)
train = dict(type=TrainOptions, steps=200, batch_size=4, learning_rate=3e-3, num_workers=0, log_every=10)
region = "dbscan"
