"""The networks and the views that the benchmark's BEV configs share: maps of 128 x 128 cells of 0.8 m from points, of
64 x 64 cells from images of 160 x 88 pixels, and of both; each branch takes at most 0.3 GFLOPs a frame with two
cameras (`pc-ssl pretrain --dry-run`).

Cells of 1.6 m take 0.6 of the time of a step, but nine of ten points that PRC draws share such a cell with another one,
and centres of boxes are found less precisely in them."""

from pc_ssl.geometry import BevGrid
from pc_ssl.models.camera import DepthBins, LiftSplat, RandomResNet
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation

_lidar = dict(
    type=SECOND,
    grid=dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0), voxel_size=(0.4, 0.4, 1.0)),
    stage_channels=(8, 16),
    stage_blocks=(1, 1),
    neck_channels=(16, 32),
    neck_layers=(1, 2),
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
_fuser = dict(type=ConvFuser, out_channels=16)
_lidar_encoder = dict(type=BevEncoder, lidar=_lidar)
_camera_encoder = dict(type=BevEncoder, camera=_camera)
_encoder = dict(type=BevEncoder, lidar=_lidar, camera=_camera, fuser=_fuser)
_augmentation = dict(type=Augmentation, rotation=0.7853981633974483, scale=(0.9, 1.1), flip=0.5, shift=0.0)
# of simulated images of 320 x 180
_images = dict(type=ImageAugmentation, width=160, height=88, resize=(0.5, 0.55), rotation=0.0, flip=0.5)
