"""PointContrast for the benchmark's point network. Steps and learning rate are PRC's, other values the
demo's; none was chosen on the benchmark's validation streets.

pc-ssl pretrain configs/proof/point_contrast.py --cache cache --work-dir work_dirs/point_contrast
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.point_contrast import PointContrast
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.proof_unet import _augmentation, _backbone

method = dict(
    type=PointContrast,
    backbone=_backbone,
    # ours; published: PointContrast, 4096 points
    views=dict(type=PairViews, augmentation=_augmentation, inside=256, outside=256),
    temperature=0.07,
)
train = dict(
    type=TrainOptions, steps=1500, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
region = "dbscan"
