"""The network that the demo pretrains, probes and fine-tunes: a sparse UNet small enough for a few minutes on a CPU."""

from pc_ssl.models.lidar import SparseUNet

_backbone = dict(
    type=SparseUNet,
    voxel_size=(0.2, 0.2, 0.2),
    stem_channels=16,
    encoder_channels=(16, 32, 64, 64),
    encoder_blocks=(1, 1, 1, 1),
    decoder_channels=(64, 64, 32, 32),
    decoder_blocks=(1, 1, 1, 1),
)
