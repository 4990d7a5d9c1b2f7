r"""PointContrast on nuScenes, one sweep: to compare with; its paper has rooms only.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --out cache --workers 16
pc-ssl pretrain configs/pretrain/point_contrast_nuscenes_unet.py --cache cache \
    --work-dir work_dirs/point_contrast_nuscenes_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.point_contrast import PointContrast
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.nuscenes import _augmentation, _pretraining

method = dict(
    type=PointContrast,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # 0.1 m: SLidR's
    views=dict(
        type=PairViews, augmentation=_augmentation, inside=0, outside=4096, keep=0.8
    ),  # ours: keep; published: PointContrast, 4096 points
    embedding_channels=32,  # published: PointContrast, implementation details
    loss="point_info_nce",
    temperature=0.07,  # published: PointContrast, implementation details
)
train = _pretraining  # ours: CALICO's, as for the other methods on nuScenes
