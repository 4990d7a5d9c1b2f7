r"""SegContrast on nuScenes, one sweep; its paper has SemanticKITTI.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --regions dbscan3d --ground ransac --out cache \
    --workers 16
pc-ssl pretrain configs/pretrain/seg_contrast_nuscenes_unet.py --cache cache \
    --work-dir work_dirs/seg_contrast_nuscenes_unet
"""

from mmengine.config import read_base

from pc_ssl.methods.seg_contrast import SegContrast
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import PairViews

with read_base():
    from .._base_.nuscenes import _augmentation, _pretraining

method = dict(
    type=SegContrast,
    backbone=dict(type=SparseUNet, voxel_size=(0.05, 0.05, 0.05)),  # published: SegContrast, the reference code
    views=dict(
        type=PairViews, augmentation=_augmentation, inside=20000, keep=0.8
    ),  # ours: keep; published: SegContrast, 20,000 points
    pooling="max",
    hidden_channels=128,  # published: SegContrast, models/blocks.py
    embedding_channels=128,  # published: SegContrast, the reference code
    dropout=0.4,  # published: SegContrast, models/blocks.py
    temperature=0.1,  # published: SegContrast, the reference code
    momentum=0.999,  # published: SegContrast, the reference code
    queue_size=65536,  # published: SegContrast, the reference code
)
train = _pretraining  # ours: CALICO's, as for the other methods on nuScenes
region = "dbscan3d"  # published: SegContrast, the reference code; eps 0.25 m and 10 points for 64 beams
