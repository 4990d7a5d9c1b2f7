"""PointContrast for the demo: a small sparse UNet on a CPU.

pc-ssl pretrain configs/demo/point_contrast.py --cache cache --work-dir work_dirs/demo/pretrain/point_contrast-0
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.point_contrast import PointContrast
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.small_unet import _augmentation, _backbone

method = dict(
    type=PointContrast,
    backbone=_backbone,
    # ours; published: PointContrast, 4096 points
    views=dict(type=PairViews, augmentation=_augmentation, inside=256, outside=256),
    temperature=0.07,
)
train = dict(
    type=TrainOptions, steps=350, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=10, checkpoint_every=50
)
region = "dbscan"
