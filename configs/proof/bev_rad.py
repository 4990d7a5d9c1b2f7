r"""RAD of the benchmark's camera branch, taught by the LiDAR branch that bev_prc.py pretrained.

pc-ssl pretrain configs/proof/bev_rad.py --cache cache --init teacher=work_dirs/bev_prc/weights.safetensors \
    --work-dir work_dirs/bev_rad
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.rad import RAD
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.proof_bev import _augmentation, _camera, _images, _lidar

method = dict(
    type=RAD,
    backbone=_camera,
    teacher=_lidar,
    views=dict(
        type=DrawnViews,
        sensors=dict(type=SensorViews, augmentation=_augmentation, images=_images),
        inside=512,
        outside=512,
    ),
)
train = dict(
    type=TrainOptions, steps=1000, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
region = "dbscan"
