"""Views and schedule of the methods in which images teach points. Origin of the values: published (SLidR,
CVPR 2022, and its code), or ours."""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation

_augmentation = dict(
    type=Augmentation,
    rotation=3.141592653589793,  # published: SLidR, slidr_minkunet.yaml; any angle about the vertical
    scale=(1.0, 1.0),  # published: SLidR, slidr_minkunet.yaml; none
    flip=0.5,  # published: SLidR, slidr_minkunet.yaml; along both axes
    shift=0.0,  # published: SLidR, slidr_minkunet.yaml; none
)

# ours: crops of 0.75 to 1 of the image, to keep most points in; published: SLidR, slidr_minkunet.yaml, 416 x 224, 0.3
# to 1
_images = dict(type=ImageAugmentation, width=416, height=224, resize=(0.26, 0.3), rotation=0.0, flip=0.5)

# ours: 50 epochs of the about 24,600 keyframes of 600 scenes in batches of 16; published: SLidR, slidr_minkunet.yaml;
# 50 epochs in batches of 4 on one GPU
_distillation = dict(
    type=TrainOptions,
    steps=76875,
    batch_size=16,
    learning_rate=1e-3,  # ours, of AdamW; published: SLidR, SGD at 0.5
    schedule="cosine",  # published: SLidR, slidr_minkunet.yaml
    precision="bf16",  # ours
    num_workers=8,
)
