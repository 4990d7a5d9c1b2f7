"""Segmentation on the network of prc_unet.py, to see that all parts fit together; its numbers mean nothing.

pc-ssl finetune configs/smoke/segmentation.py --cache cache --work-dir work_dirs/smoke_segmentation
"""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation, SingleView

task = dict(
    type=SegmentationTask,
    backbone=dict(
        type=SparseUNet,
        voxel_size=(0.4, 0.4, 0.4),
        stem_channels=8,
        encoder_channels=(8, 16),
        encoder_blocks=(1, 1),
        decoder_channels=(16, 8),
        decoder_blocks=(1, 1),
    ),
    view=dict(type=SingleView, augmentation=dict(type=Augmentation)),
)
train = dict(
    type=TrainOptions, steps=4, batch_size=1, learning_rate=1e-3, num_workers=0, log_every=1, checkpoint_every=2
)
