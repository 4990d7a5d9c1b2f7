"""The network of seconds that the smoke configs share, and its four steps."""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.models.lidar import SparseUNet

_unet = dict(
    type=SparseUNet,
    voxel_size=(0.4, 0.4, 0.4),
    stem_channels=8,
    encoder_channels=(8, 16),
    encoder_blocks=(1, 1),
    decoder_channels=(16, 8),
    decoder_blocks=(1, 1),
)
_steps = dict(
    type=TrainOptions, steps=4, batch_size=1, learning_rate=1e-3, num_workers=0, log_every=1, checkpoint_every=2
)
