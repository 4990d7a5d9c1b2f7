r"""Detection of ScanNet's 18 classes of boxes on the point features of MinkUNet34: the backbone that the pretrain
configs of ScanNet train.
Origin of the values: published (FCAF3D, whose head the task's is after) or ours.

pc-ssl prepare scannet --root scannet --out cache --workers 16
pc-ssl pretrain configs/pretrain/fac_scannet_unet.py --cache cache --work-dir work_dirs/fac_scannet_unet
pc-ssl finetune configs/downstream/det_scannet_unet.py --cache cache --label-scenes scenes_10.txt \
    --init work_dirs/fac_scannet_unet/weights.safetensors --work-dir work_dirs/det_scannet

Steps are those of 10 % of the 1,201 training scenes: the list that ScanNet's limited reconstructions name.
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.indoor_detection import IndoorDetectionTask
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.scannet import _backbone

task = dict(
    type=IndoorDetectionTask,
    backbone=_backbone,
    views=dict(
        type=SensorViews,
        # ours: no rotation, which would enlarge the axis-aligned boxes
        augmentation=dict(type=Augmentation, rotation=0.0, scale=(0.9, 1.1), flip=0.5, shift=0.1),
        boxes=True,
    ),
    level_sizes=(0.08, 0.16, 0.32, 0.64),  # published: FCAF3D, levels of the head
    hidden_channels=128,  # ours
)
# ours: 120 epochs of 120 scenes in batches of 8
train = dict(
    type=TrainOptions,
    steps=1800,
    batch_size=8,
    learning_rate=1e-3,
    weight_decay=1e-4,
    schedule="cosine",
    precision="bf16",
    num_workers=8,
)
label_rule = "scannet"
