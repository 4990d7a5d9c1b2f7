"""BEVContrast on a network of seconds, to see that data, method and machine fit together; its weights are of no use.

pc-ssl pretrain configs/smoke/bev_contrast_unet.py --cache cache --work-dir work_dirs/smoke_bev_contrast_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.bev_contrast import BEVContrast
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.scan_pairs import ScanPairViews

with read_base():
    from .._base_.smoke import _steps, _unet

method = dict(
    type=BEVContrast,
    backbone=_unet,
    views=dict(type=ScanPairViews, augmentation=dict(type=Augmentation), cell_size=1.5, cells=128, keyframes_apart=1),
    hidden_channels=16,
    embedding_channels=16,
)
train = _steps
