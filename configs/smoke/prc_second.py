"""PRC on a network of seconds, to see that data, method and machine fit together; its weights are of no use.

pc-ssl pretrain configs/smoke/prc_second.py --cache cache --work-dir work_dirs/smoke
"""

from mmengine.config import read_base

from pc_ssl.methods.prc import PRC
from pc_ssl.views.lidar import Augmentation, PairViews

with read_base():
    from .._base_.smoke import _steps
    from .._base_.smoke_bev import _second

method = dict(
    type=PRC,
    backbone=_second,
    views=dict(type=PairViews, augmentation=dict(type=Augmentation), inside=128, outside=128),
    hidden_channels=16,
    embedding_channels=16,
)
train = _steps
region = "dbscan"
