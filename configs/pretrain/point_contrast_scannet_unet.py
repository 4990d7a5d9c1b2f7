r"""PointContrast in the rooms of ScanNet.
Origin of the values: published, prototype or ours.

pc-ssl prepare scannet --root scannet --out cache --workers 16
pc-ssl pretrain configs/pretrain/point_contrast_scannet_unet.py --cache cache \
    --work-dir work_dirs/point_contrast_scannet_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.point_contrast import PointContrast
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation, PairViews

with read_base():
    from .._base_.nuscenes import _pretraining

_room = dict(type=Augmentation, rotation=3.141592653589793, scale=(0.9, 1.1), flip=0.5, shift=0.0)  # ours

method = dict(
    type=PointContrast,
    backbone=dict(type=SparseUNet, voxel_size=(0.025, 0.025, 0.025)),  # 0.025 m: PointContrast's
    # ours: keep; published: PointContrast, 4096
    views=dict(type=PairViews, augmentation=_room, inside=0, outside=4096, keep=0.8),
    embedding_channels=32,  # published: PointContrast, implementation details
    loss="point_info_nce",
    temperature=0.07,  # published: PointContrast, implementation details; the authors' script has 0.4
)
train = dict(_pretraining, steps=60000, batch_size=32)  # ours: AdamW; published: PointContrast, SGD at 0.1
