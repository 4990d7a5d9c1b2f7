"""FAC on a network of seconds, to see that data, method and machine fit together; its weights are of no use.

pc-ssl pretrain configs/smoke/fac_unet.py --cache cache --work-dir work_dirs/smoke_fac_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.fac import FAC
from pc_ssl.views.foreground import ForegroundViews
from pc_ssl.views.lidar import Augmentation

with read_base():
    from .._base_.smoke import _steps, _unet

method = dict(
    type=FAC,
    backbone=_unet,
    views=dict(type=ForegroundViews, augmentation=dict(type=Augmentation), foreground=128, background=128),
    hidden_channels=16,
    embedding_channels=16,
)
train = _steps
region = "dbscan"
