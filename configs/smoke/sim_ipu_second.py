"""SimIPU on networks of seconds, to see that data, method and machine fit together; its weights are of no use.

pc-ssl pretrain configs/smoke/sim_ipu_second.py --cache cache --work-dir work_dirs/smoke_sim_ipu
"""

from mmengine.config import read_base

from pc_ssl.methods.sim_ipu import JointViews, SimIPU
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.views.lidar import Augmentation

with read_base():
    from .._base_.smoke import _steps
    from .._base_.smoke_bev import _camera, _second, _views

method = dict(
    type=SimIPU,
    backbone=dict(
        type=BevEncoder,
        lidar=_second,
        camera=_camera,
        fuser=dict(type=ConvFuser),
    ),
    views=dict(type=JointViews, first=_views, augmentation=dict(type=Augmentation)),
    hidden_channels=16,
    embedding_channels=16,
)
train = _steps
region = "dbscan"
