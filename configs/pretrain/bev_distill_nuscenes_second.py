r"""BEVDistill without labels on nuScenes: L2 between the maps of Swin-T with Lift-Splat and of the VoxelNet/SECOND
that PRC pretrained, on cells of regions. What CALICO compares RAD with.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl pretrain configs/pretrain/prc_nuscenes_second.py --cache cache --work-dir work_dirs/prc
torchrun --nproc-per-node 4 -m pc_ssl.cli pretrain configs/pretrain/bev_distill_nuscenes_second.py --cache cache \
    --init teacher=work_dirs/prc/weights.safetensors --work-dir work_dirs/bev_distill
"""

from mmengine.config import read_base

from pc_ssl.methods.bev_distill import BEVDistill
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes import _augmentation, _pretraining
    from .._base_.nuscenes_bev import _camera_with_lidar, _images, _second

method = dict(
    type=BEVDistill,
    backbone=_camera_with_lidar,
    teacher=_second,
    views=dict(
        type=DrawnViews,
        sensors=dict(type=SensorViews, augmentation=_augmentation, images=_images),
        inside=4096,  # ours: most points of regions, as BEVDistill's masks hold all cells of objects
        outside=0,
    ),
)
train = _pretraining  # as RAD, to compare with
region = "dbscan"  # as RAD
