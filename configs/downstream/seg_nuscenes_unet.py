"""Segmentation of nuScenes (16 classes) on MinkUNet34, fine-tuned with a share of the labels.

pc-ssl finetune configs/downstream/seg_nuscenes_unet.py --cache cache --labels 0.01 \\
    --train-split parametrizing --val-split verifying \\
    --init work_dirs/prc_unet/weights.safetensors --work-dir work_dirs/seg_unet
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import SingleView

with read_base():
    from .._base_.nuscenes import _augmentation

task = dict(
    type=SegmentationTask,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # published: 0.1 m (SLidR)
    view=dict(type=SingleView, augmentation=_augmentation),
)
# published (SLidR) is SGD; AdamW, its rate and the number of steps are ours: about 100 epochs of 1 % of the labels
train = dict(
    type=TrainOptions,
    steps=2500,
    batch_size=16,
    learning_rate=1e-3,
    head_learning_rate=1e-2,
    schedule="cosine",  # published
    precision="bf16",
    num_workers=8,
    checkpoint_every=500,
)
