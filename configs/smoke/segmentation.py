"""Segmentation on the network of prc_unet.py, to see that all parts fit together; its numbers mean nothing.

pc-ssl finetune configs/smoke/segmentation.py --cache cache --work-dir work_dirs/smoke_segmentation
"""

from mmengine.config import read_base

from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.views.lidar import Augmentation, SingleView

with read_base():
    from .._base_.smoke import _steps, _unet

task = dict(type=SegmentationTask, backbone=_unet, view=dict(type=SingleView, augmentation=dict(type=Augmentation)))
train = _steps
label_rule = "slidr"
