"""FAC for the benchmark's point network. Steps and learning rate are PRC's, other values the
demo's; none was chosen on the benchmark's validation streets.

pc-ssl pretrain configs/proof/fac.py --cache cache --work-dir work_dirs/fac
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.fac import FAC
from pc_ssl.views.foreground import ForegroundViews

with read_base():
    from .._base_.proof_unet import _augmentation, _backbone

method = dict(
    type=FAC,
    backbone=_backbone,
    views=dict(type=ForegroundViews, augmentation=_augmentation, foreground=256, background=256),
    hidden_channels=256,
    embedding_channels=64,
    temperature=0.1,
)
train = dict(
    type=TrainOptions, steps=1500, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
region = "dbscan"
