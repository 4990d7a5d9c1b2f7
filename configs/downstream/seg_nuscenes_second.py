"""Segmentation of nuScenes (16 classes) on the BEV map of SECOND, ten sweeps, fine-tuned with a share of the labels.

pc-ssl finetune configs/downstream/seg_nuscenes_second.py --cache cache --labels 0.05 \\
    --init work_dirs/prc/weights.safetensors --work-dir work_dirs/seg_second
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.lidar import SingleView

with read_base():
    from .._base_.nuscenes import _augmentation, _grid

task = dict(
    type=SegmentationTask,
    backbone=dict(type=SECOND, grid=_grid, point_features=2),  # as in pretrain/prc_nuscenes_second.py
    view=dict(type=SingleView, augmentation=_augmentation),
)
train = dict(  # ours
    type=TrainOptions,
    steps=2000,
    batch_size=16,
    learning_rate=1e-3,
    head_learning_rate=1e-2,
    schedule="cosine",
    precision="bf16",
    num_workers=8,
    checkpoint_every=500,
)
