"""Augmentation and schedule that the segmentation configs share. Origin of the values: published (SLidR,
CVPR 2022, and its code) or ours."""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.views.lidar import Augmentation

_augmentation = dict(
    type=Augmentation,
    rotation=3.141592653589793,  # published: SLidR, semseg_nuscenes.yaml; any angle about the vertical
    scale=(1.0, 1.0),  # published: SLidR, semseg_nuscenes.yaml; none
    flip=0.5,  # published: SLidR, semseg_nuscenes.yaml; along both axes
    shift=0.0,  # published: SLidR, semseg_nuscenes.yaml; none
)

# ours: 100 epochs of the about 280 keyframes of 1 % of the labels, in batches of 16; AdamW and its learning rates.
# published: SLidR, Sec. 4; 100 epochs in batches of 16 by SGD at 0.02, and 2.0 in the head
_finetuning = dict(
    type=TrainOptions,
    steps=1750,
    batch_size=16,
    learning_rate=1e-3,  # ours
    learning_rate_multipliers={"head": 10.0},  # ours; published: SLidR, a ratio of 100
    weight_decay=0.01,
    schedule="cosine",  # published: SLidR, semseg_nuscenes.yaml
    precision="bf16",  # ours
    num_workers=8,
)
