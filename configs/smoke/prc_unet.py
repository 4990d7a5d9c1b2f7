"""As prc_second.py, for the sparse UNet.

pc-ssl pretrain configs/smoke/prc_unet.py --cache cache --work-dir work_dirs/smoke_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.prc import PRC
from pc_ssl.views.lidar import Augmentation, PairViews

with read_base():
    from .._base_.smoke import _steps, _unet

method = dict(
    type=PRC,
    backbone=_unet,
    views=dict(type=PairViews, augmentation=dict(type=Augmentation), inside=128, outside=128),
    hidden_channels=16,
    embedding_channels=16,
)
train = _steps
region = "dbscan"
