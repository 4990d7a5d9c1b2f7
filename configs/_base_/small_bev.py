"""The networks and the views that the demo's BEV configs share: maps of 128 x 128 cells of 0.8 m from points and from
images of 176 x 96 pixels."""

from pc_ssl.geometry import BevGrid
from pc_ssl.models.camera import DepthBins, LiftSplat, RandomResNet
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation

_lidar = dict(
    type=SECOND,
    grid=dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0), voxel_size=(0.2, 0.2, 0.4)),
    stage_channels=(16, 32, 32),
    stage_blocks=(1, 1, 1),
    neck_channels=(32, 64),
    neck_layers=(2, 2),
    upsampled_channels=32,
)
_camera = dict(
    type=LiftSplat,
    image=dict(
        type=RandomResNet, channels=(16, 32, 64), depths=(1, 1, 1), stem_channels=16, bottleneck=False, stages=(2, 3)
    ),
    grid=dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0), voxel_size=(0.8, 0.8, 8.0)),
    depths=dict(type=DepthBins, start=1.0, stop=49.0, step=1.0),
    neck_channels=32,
    lifted_channels=24,
    encoder_channels=(32, 48),
    encoder_layers=(1, 1),
    upsampled_channels=24,
)
_encoder = dict(
    type=BevEncoder,
    lidar=_lidar,
    camera=_camera,
    fuser=dict(type=ConvFuser, out_channels=32),
)
_augmentation = dict(type=Augmentation, rotation=0.7853981633974483, scale=(0.9, 1.1), flip=0.5, shift=0.0)
# of simulated images of 320 x 180
_images = dict(type=ImageAugmentation, width=176, height=96, resize=(0.53, 0.6), rotation=0.0, flip=0.5)
