"""PRC on a network of seconds, to see that data, method and machine fit together; its weights are of no use.

pc-ssl pretrain configs/smoke/prc_second.py --cache cache --work-dir work_dirs/smoke
"""

from mmengine.config import read_base

from pc_ssl.geometry import BevGrid
from pc_ssl.methods.prc import PointRegionContrast
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.lidar import Augmentation, PairViews

with read_base():
    from .._base_.smoke import _steps

method = dict(
    type=PointRegionContrast,
    backbone=dict(
        type=SECOND,
        grid=dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0), voxel_size=(0.8, 0.8, 1.0)),
        stage_channels=(8, 16),
        stage_blocks=(1, 1),
        neck_channels=(16, 16),
        neck_layers=(1, 1),
        upsampled_channels=8,
    ),
    views=dict(type=PairViews, augmentation=dict(type=Augmentation), inside=128, outside=128),
    hidden_channels=16,
    embedding_channels=16,
)
train = _steps
region = "dbscan"
