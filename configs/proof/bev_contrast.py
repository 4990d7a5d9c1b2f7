"""BEVContrast for the benchmark's point network. Steps and learning rate are PRC's, other values the
demo's; none was chosen on the benchmark's validation streets.

pc-ssl pretrain configs/proof/bev_contrast.py --cache cache --work-dir work_dirs/bev_contrast
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.bev_contrast import BEVContrast
from pc_ssl.views.scan_pairs import ScanPairViews

with read_base():
    from .._base_.proof_unet import _augmentation, _backbone

method = dict(
    type=BEVContrast,
    backbone=_backbone,
    views=dict(type=ScanPairViews, augmentation=_augmentation, cell_size=0.6, cells=512, keyframes_apart=1),
    hidden_channels=256,
    embedding_channels=64,
    temperature=0.07,
)
train = dict(
    type=TrainOptions, steps=1500, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
