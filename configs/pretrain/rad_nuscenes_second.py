r"""RAD (CALICO's camera stage) on nuScenes: Swin-T and Lift-Splat, taught by the VoxelNet/SECOND that PRC pretrained.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl pretrain configs/pretrain/prc_nuscenes_second.py --cache cache --work-dir work_dirs/prc
torchrun --nproc-per-node 4 -m pc_ssl.cli pretrain configs/pretrain/rad_nuscenes_second.py --cache cache \
    --init teacher=work_dirs/prc/weights.safetensors --work-dir work_dirs/rad
"""

from mmengine.config import read_base

from pc_ssl.methods.rad import RAD
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes import _augmentation, _pretraining
    from .._base_.nuscenes_bev import _camera_with_lidar, _images, _second

method = dict(
    type=RAD,
    backbone=_camera_with_lidar,
    teacher=_second,
    views=dict(
        type=DrawnViews,
        sensors=dict(type=SensorViews, augmentation=_augmentation, images=_images),
        inside=1024,  # published: CALICO, N and M of PRC
        outside=1024,  # published: CALICO, N and M of PRC
    ),
    hidden_channels=256,  # ours: the paper's projector is not known
    embedding_channels=64,  # prototype
    temperature=0.1,  # prototype; the paper's is not known
    teacher_space="learned",  # prototype: projectors of both branches
    weighting="region",  # published: CALICO, Eq. 3
)
train = _pretraining  # ours, as PRC; published: CALICO, 20 epochs
region = "dbscan"  # published: CALICO, region generator; eps 0.75 m, 5 points
