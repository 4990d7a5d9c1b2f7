r"""Segmentation of ScanNet's 20 classes with MinkUNet34: the backbone that the pretrain configs of ScanNet train.
Origin of the values: published or ours.

pc-ssl prepare scannet --root scannet --out cache --workers 16
pc-ssl pretrain configs/pretrain/point_contrast_scannet_unet.py --cache cache \
    --work-dir work_dirs/point_contrast_scannet_unet
pc-ssl finetune configs/downstream/seg_scannet_unet.py --cache cache --label-scenes scenes_5.txt \
    --init work_dirs/point_contrast_scannet_unet/weights.safetensors --work-dir work_dirs/seg_scannet

Steps are those of 5 % of the 1,201 training scenes: the list that ScanNet's limited reconstructions name.
`--labels 0.05 --label-rule slidr` takes every 20th scene instead.
"""

from mmengine.config import read_base

from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.views.lidar import SingleView

with read_base():
    from .._base_.scannet import _backbone
    from .._base_.segmentation import _augmentation, _finetuning

task = dict(
    type=SegmentationTask,
    backbone=_backbone,
    view=dict(type=SingleView, augmentation=dict(_augmentation, scale=(0.9, 1.1))),  # ours
)
# ours: 300 epochs of 60 scenes in batches of 8, AdamW; published: CLIP2Scene, implementation details; 300 epochs in
# batches of 8, SGD at 0.1
train = dict(_finetuning, steps=2250, batch_size=8)
label_rule = "scannet"
