"""Augmentation and schedule that the segmentation configs share. Values say where they come from: published (SLidR,
CVPR 2022, and its code) or ours."""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.views.lidar import Augmentation

_augmentation = dict(
    type=Augmentation,
    rotation=3.141592653589793,  # published: any angle about the vertical
    scale=(1.0, 1.0),  # published: none
    flip=0.5,  # published: along both axes
    shift=0.0,  # published: none
)

# 100 epochs (published) of the about 280 keyframes of 1 % of the labels in batches of 16 (published). SLidR trains with
# SGD at 0.02, and 2.0 in the head; AdamW and its learning rates are ours.
_finetuning = dict(
    type=TrainOptions,
    steps=1750,
    batch_size=16,
    learning_rate=1e-3,  # ours
    learning_rate_multipliers={"head": 10.0},  # ours; published: 100
    weight_decay=0.01,
    schedule="cosine",  # published
    precision="bf16",  # ours
    num_workers=8,
)
