r"""BEVContrast for MinkUNet34 on nuScenes, one sweep.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --out cache --workers 16
pc-ssl pretrain configs/pretrain/bev_contrast_nuscenes_unet.py --cache cache \
    --split parametrizing --work-dir work_dirs/bev_contrast_nuscenes_unet
"""

from mmengine.config import read_base

from pc_ssl.engine.schedule import Cosine
from pc_ssl.methods.bev_contrast import BEVContrast
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.scan_pairs import ScanPairViews

with read_base():
    from .._base_.nuscenes import _pretraining

method = dict(
    type=BEVContrast,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # 0.1 m: SLidR's
    views=dict(
        type=ScanPairViews,
        augmentation=dict(
            type=Augmentation,
            rotation=3.141592653589793,  # published: BEVContrast, bevlab/transforms.py; any angle
            scale=(1.0, 1.0),  # published: BEVContrast, the reference code's config; none
            flip=0.0,  # published: BEVContrast, the reference code's config; none
            shift=4.0,  # published: BEVContrast, bevlab/transforms.py
            max_shift=15.0,  # published: BEVContrast, bevlab/transforms.py
            shift_along="xy",  # published: BEVContrast, bevlab/transforms.py
        ),
        cell_size=0.6,  # published: BEVContrast, the reference code's config
        cells=4096,  # published: BEVContrast, the reference code's config
        keyframes_apart=2,  # published: BEVContrast, the reference code's data set; 1.0 s
    ),
    temperature=0.07,  # published: BEVContrast, the reference code's config
)
# published: BEVContrast, the reference code's config; AdamW at 1e-3, weight decay 1e-3, 50 epochs in batches of 24;
# 51,250 steps of the about 24,600 keyframes of
# the 600 scenes of `--split parametrizing`
train = dict(
    _pretraining,
    steps=51250,
    batch_size=24,
    learning_rate=1e-3,
    weight_decay=1e-3,
    schedule=dict(type=Cosine, warmup_share=0.05, floor=0.01),  # published: BEVContrast, utils/optimizer.py
)
