"""The network and the augmentation that the demo's configs of rooms share."""

from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation

_backbone = dict(
    type=SparseUNet,
    voxel_size=(0.1, 0.1, 0.1),
    stem_channels=16,
    encoder_channels=(16, 32, 64, 64),
    encoder_blocks=(1, 1, 1, 1),
    decoder_channels=(64, 64, 32, 32),
    decoder_blocks=(1, 1, 1, 1),
)
_augmentation = dict(type=Augmentation, rotation=3.141592653589793, scale=(0.9, 1.1), flip=0.5, shift=0.0)
