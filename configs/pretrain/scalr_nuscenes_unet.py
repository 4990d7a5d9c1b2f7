r"""ScaLR on the point features of MinkUNet34 (published: WaffleIron-48-768) on nuScenes alone (published: four data
sets), one sweep, taught by DINOv2 ViT-L/14.
Origin of the values: published or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --out cache --workers 16
torchrun --nproc-per-node 4 -m pc_ssl.cli pretrain configs/pretrain/scalr_nuscenes_unet.py --cache cache \
    --work-dir work_dirs/scalr

The published features are those before DINOv2's last norm; transformers gives them after it.
"""

from mmengine.config import read_base

from pc_ssl.data.thinning import OneImage, PointLimit
from pc_ssl.engine.schedule import Cosine
from pc_ssl.methods.scalr import ScaLR
from pc_ssl.models.camera import PixelFeatures, PretrainedBackbone
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.image_teachers import _augmentation, _distillation

method = dict(
    type=ScaLR,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # ours
    image=dict(
        type=PixelFeatures,
        # published: ScaLR, WI_768_pretrain.yaml
        backbone=dict(type=PretrainedBackbone, source="facebook/dinov2-large", stages=(24,), frozen=True),
        out_channels=None,  # published: ScaLR, WI_768_pretrain.yaml; its 1024 channels as they are
    ),
    views=dict(
        type=SensorViews,
        augmentation=_augmentation,  # ours, SLidR's
        # ours: of 448 x 252, without the upper 28 rows; published: ScaLR, WI_768_pretrain.yaml, 448 x 224
        images=dict(type=ImageAugmentation, width=448, height=224, resize=(0.28, 0.28), rotation=0.0, flip=0.5),
        pairs=True,
    ),
)
# published: ScaLR, WI_768_pretrain.yaml; AdamW at 2e-3, weight decay 0.03, 25 epochs in batches of 8; 87,906 steps of
# 28,130 keyframes
train = dict(
    _distillation,
    steps=87906,
    batch_size=8,
    learning_rate=2e-3,
    weight_decay=0.03,
    # published: ScaLR, WI_768_pretrain.yaml; 3,500 steps, 1e-5 (utils/scheduler.py)
    schedule=dict(type=Cosine, warmup_steps=3500, floor=0.005),
)
# published: ScaLR, WI_768_pretrain.yaml, max_points; and one random image of each frame
transforms = [dict(type=OneImage), dict(type=PointLimit, count=20000)]
