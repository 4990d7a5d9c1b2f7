"""The branches that the BEV configs of nuScenes share. Origin of the values: published (a paper, or
BEVFusion, whose architecture CALICO takes over), prototype (the code of CALICO's first author) or ours.

The layers are BEVFusion's: of SECOND in the configs `*_second*` and `map_nuscenes_*`, of PointPillars in `*_pillars*`,
of the image neck in all with images, of depth from LiDAR and fusion before the LiDAR neck in `*_second_lc`,
`map_nuscenes_lc` and the pretraining of their camera branch, `rad_nuscenes_second` and its baselines. BEVFusion has no
config of pillars with images: they are fused after both necks.

Both LiDAR branches read ten sweeps: intensity and time lag. The map of the camera branch covers the ground of the
LiDAR branch that it goes with. `microsoft/swin-tiny-patch4-window7-224` is Swin-T as trained on ImageNet-1k; a folder
that `save_pretrained` wrote does as well: `--set ...image.source=FOLDER`.
"""

from mmengine.config import read_base

from pc_ssl.geometry import BevGrid
from pc_ssl.models.camera import DepthBins, LiftSplat, PretrainedBackbone
from pc_ssl.models.fusion import NeckFuser
from pc_ssl.models.lidar import SECOND, PointPillars
from pc_ssl.views.camera import ImageAugmentation

with read_base():
    from .nuscenes import _grid

# a map of 180 x 180 cells of 0.6 m
_second = dict(
    type=SECOND,
    grid=_grid,
    voxel_features="mean",  # published: BEVFusion, det/transfusion/secfpn/lidar/voxelnet_0p075
    block="residual",  # published: BEVFusion, det/transfusion/secfpn/lidar/voxelnet_0p075
    extra_slice=True,  # published: BEVFusion, det/transfusion/secfpn/lidar/voxelnet_0p075; 41 slices
    z_paddings=(1, 1, 0, 0),  # published: BEVFusion, det/transfusion/secfpn/lidar/voxelnet_0p075
    neck_layers=(6, 6),  # published: BEVFusion, det/transfusion/secfpn/default.yaml; five after the strided one
    norm_eps=1e-3,  # published: BEVFusion, det/transfusion/secfpn/lidar/voxelnet_0p075
    norm_momentum=0.01,  # published: BEVFusion, det/transfusion/secfpn/lidar/voxelnet_0p075
)

# published: CenterPoint, configs/nusc/pp; +-51.2 m in pillars of 0.2 m, maps of 128 x 128 cells of 0.8 m
_pillar_grid = dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0), voxel_size=(0.2, 0.2, 8.0))
_pillars = dict(
    type=PointPillars,
    grid=_pillar_grid,
    point_layers=2,  # published: BEVFusion, det/transfusion/secfpn/lidar/pointpillars.yaml
    max_points=20,  # published: BEVFusion, det/transfusion/secfpn/lidar/pointpillars.yaml
    norm_eps=1e-3,  # published: BEVFusion, det/transfusion/secfpn/lidar/pointpillars.yaml
    norm_momentum=0.01,  # published: BEVFusion, det/transfusion/secfpn/lidar/pointpillars.yaml
)

_camera = dict(
    type=LiftSplat,
    # published: BEVFusion, det/centerhead/lssfpn/camera/256x704/swint
    image=dict(type=PretrainedBackbone, source="microsoft/swin-tiny-patch4-window7-224", stages=(2, 3, 4)),
    # published: BEVFusion, det/transfusion/secfpn/camera+lidar/swint_v0p075; cells of 0.3 m, heights of +-10 m
    grid=dict(type=BevGrid, lower=(-54.0, -54.0, -10.0), upper=(54.0, 54.0, 10.0), voxel_size=(0.3, 0.3, 20.0)),
    # published: BEVFusion, det/centerhead/lssfpn/camera/256x704/swint
    depths=dict(type=DepthBins, start=1.0, stop=60.0, step=0.5),
    neck_channels=256,  # published: BEVFusion, det/centerhead/lssfpn/camera/256x704/swint
    neck="lss",  # published: BEVFusion, det/centerhead/lssfpn/camera/256x704/swint
    lifted_channels=80,  # published: BEVFusion, det/centerhead/lssfpn/camera/256x704/swint
    encoder_channels=(80, 160),  # ours, as the two values below
    encoder_layers=(2, 2),
    upsampled_channels=128,
)
# published: BEVFusion, det/centerhead/lssfpn/camera/256x704/swint; +-51.2 m, cells of 0.4 m
_camera_of_pillars = dict(
    _camera,
    grid=dict(type=BevGrid, lower=(-51.2, -51.2, -10.0), upper=(51.2, 51.2, 10.0), voxel_size=(0.4, 0.4, 20.0)),
)

# Together with the LiDAR: depth from its points, and the lifted map at half the resolution, without a BEV encoder
_camera_with_lidar = dict(
    _camera,
    lidar_depth=True,  # published: BEVFusion, det/transfusion/secfpn/camera+lidar; DepthLSSTransform
    halve=True,  # published: BEVFusion, det/transfusion/secfpn/camera+lidar; downsample
    encoder_channels=(),  # published: BEVFusion, det/transfusion/secfpn/camera+lidar; none
)
# published: BEVFusion, det/transfusion/secfpn/camera+lidar/swint_v0p075/convfuser.yaml; before the LiDAR neck
_fuser = dict(type=NeckFuser, fused_channels=256)

_images = dict(
    type=ImageAugmentation,
    width=704,  # published: BEVFusion, default.yaml, image_size
    height=256,  # published: BEVFusion, default.yaml, image_size
    resize=(0.38, 0.55),  # published: BEVFusion, default.yaml, augment2d.resize, of 1600 x 900
    evaluation_resize=0.48,  # published: BEVFusion, default.yaml, augment2d.resize
    rotation=0.09424777960769379,  # published: BEVFusion, default.yaml, augment2d.rotate; 5.4 degrees
    flip=0.5,  # published: BEVFusion, default.yaml, rand_flip
)
