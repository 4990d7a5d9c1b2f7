"""The networks and the views that the benchmark's BEV configs share: maps of 64 x 64 cells of 1.6 m from points, from
images of 160 x 88 pixels, and from both; each branch takes at most 0.3 GFLOPs a frame with two cameras (`pc-ssl
pretrain --dry-run`). Centres of boxes are offsets within a cell, so that large cells cost no precision."""

from pc_ssl.geometry import BevGrid
from pc_ssl.models.camera import DepthBins, LiftSplat, RandomResNet
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation

_lidar = dict(
    type=SECOND,
    grid=dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0), voxel_size=(0.4, 0.4, 0.5)),
    stage_channels=(8, 16, 16),
    stage_blocks=(1, 1, 1),
    neck_channels=(24, 32),
    neck_layers=(2, 2),
    upsampled_channels=16,
)
_camera = dict(
    type=LiftSplat,
    image=dict(
        type=RandomResNet, channels=(16, 32, 48), depths=(1, 1, 1), stem_channels=16, bottleneck=False, stages=(2, 3)
    ),
    grid=dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0), voxel_size=(1.6, 1.6, 8.0)),
    depths=dict(type=DepthBins, start=1.0, stop=49.0, step=1.0),
    neck_channels=32,
    lifted_channels=16,
    encoder_channels=(16, 24),
    encoder_layers=(1, 1),
    upsampled_channels=16,
)
_fuser = dict(type=ConvFuser, out_channels=32)
_lidar_encoder = dict(type=BevEncoder, lidar=_lidar)
_camera_encoder = dict(type=BevEncoder, camera=_camera)
_encoder = dict(type=BevEncoder, lidar=_lidar, camera=_camera, fuser=_fuser)
_augmentation = dict(type=Augmentation, rotation=0.7853981633974483, scale=(0.9, 1.1), flip=0.5, shift=0.0)
# of simulated images of 320 x 180
_images = dict(type=ImageAugmentation, width=160, height=88, resize=(0.5, 0.55), rotation=0.0, flip=0.5)
