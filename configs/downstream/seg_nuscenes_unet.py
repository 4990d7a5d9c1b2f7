r"""Point segmentation with MinkUNet34 on nuScenes, one sweep: SLidR's protocol, as far as said below.

pc-ssl probe configs/downstream/seg_nuscenes_unet.py --cache cache --init work_dirs/prc_unet/weights.safetensors \
    --work-dir work_dirs/probe_unet
pc-ssl finetune configs/downstream/seg_nuscenes_unet.py --cache cache --init work_dirs/prc_unet/weights.safetensors \
    --labels 0.01 --work-dir work_dirs/finetune_unet

SLidR trains 100 epochs whatever the fraction. A step count is set here: multiply it by 5 for 5 % of the labels, and so
on (`--set train.steps=8750`).
"""

from mmengine.config import read_base

from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import SingleView

with read_base():
    from .._base_.segmentation import _augmentation, _finetuning

task = dict(
    type=SegmentationTask,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # ours: cartesian; published: SLidR, 0.1 m, cylindrical
    view=dict(type=SingleView, augmentation=_augmentation),
    supervision="voxel_first",  # published: SLidR, downstream/dataloader_nuscenes.py
)
train = _finetuning
label_rule = "slidr"
