"""The point network and the augmentation that the benchmark's segmentation configs share.

A forward pass costs 0.28 GFLOPs on the mean frame of the benchmark (32 beams, 300 columns) and 0.3 on the largest of
ten, as `pc-ssl pretrain --dry-run` counts them.
"""

from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation

_backbone = dict(
    type=SparseUNet,
    voxel_size=(0.3, 0.3, 0.3),
    stem_channels=8,
    encoder_channels=(16, 24, 32, 40),
    encoder_blocks=(1, 1, 1, 1),
    decoder_channels=(40, 24, 24, 24),
    decoder_blocks=(1, 1, 1, 1),
)
_augmentation = dict(type=Augmentation, rotation=3.141592653589793, scale=(0.9, 1.1), flip=0.5, shift=0.0)
