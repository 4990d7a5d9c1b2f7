"""As prc_second.py, for the sparse UNet.

pc-ssl pretrain configs/smoke/prc_unet.py --cache cache --work-dir work_dirs/smoke_unet
"""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.prc import PointRegionContrast
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation, PairViews

method = dict(
    type=PointRegionContrast,
    backbone=dict(
        type=SparseUNet,
        voxel_size=(0.4, 0.4, 0.4),
        stem_channels=8,
        encoder_channels=(8, 16),
        encoder_blocks=(1, 1),
        decoder_channels=(16, 8),
        decoder_blocks=(1, 1),
    ),
    views=dict(type=PairViews, augmentation=dict(type=Augmentation), inside=128, outside=128),
    hidden_channels=16,
    embedding_channels=16,
)
train = dict(
    type=TrainOptions, steps=4, batch_size=1, learning_rate=1e-3, num_workers=0, log_every=1, checkpoint_every=2
)
region = "dbscan"
