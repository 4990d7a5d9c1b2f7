"""SegContrast for the benchmark's point network. Steps and learning rate are PRC's, other values the
demo's; none was chosen on the benchmark's validation streets.

pc-ssl pretrain configs/proof/seg_contrast.py --cache cache --work-dir work_dirs/seg_contrast
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.seg_contrast import SegContrast
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.proof_unet import _augmentation, _backbone

method = dict(
    type=SegContrast,
    backbone=_backbone,
    views=dict(type=PairViews, augmentation=_augmentation, inside=4096, keep=0.8),
    hidden_channels=256,
    embedding_channels=64,
    temperature=0.1,
    momentum=0.99,  # 0.999 of a much longer schedule
    queue_size=2048,
)
train = dict(
    type=TrainOptions, steps=1500, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
region = "dbscan"
