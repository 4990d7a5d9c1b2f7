r"""PPKT on the point features of MinkUNet34 on nuScenes, one sweep, taught by a frozen ResNet-50, as SLidR runs it.
Origin of the values: published or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --out cache --workers 16
torchrun --nproc-per-node 4 -m pc_ssl.cli pretrain configs/pretrain/ppkt_nuscenes_unet.py --cache cache \
    --split parametrizing --work-dir work_dirs/ppkt

About the teacher see slidr_nuscenes_unet.py.
"""

from mmengine.config import read_base

from pc_ssl.data.thinning import DropCuboid
from pc_ssl.methods.ppkt import PPKT
from pc_ssl.models.camera import PixelFeatures, PretrainedBackbone
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.image_teachers import _augmentation, _distillation, _images

method = dict(
    type=PPKT,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # ours: cartesian; published: SLidR, cylindrical
    image=dict(
        type=PixelFeatures,
        # ours: ImageNet's labels, stages joined at 1 / 4; published: SLidR, MoCo v2, frozen as here
        backbone=dict(type=PretrainedBackbone, source="microsoft/resnet-50", stages=(1, 2, 3, 4), frozen=True),
        out_channels=64,  # published: SLidR, ppkt_nuscenes.yaml
    ),
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, pairs=True),
    num_pairs=4096,  # published: SLidR, ppkt_nuscenes.yaml
    temperature=0.07,  # published: SLidR, ppkt_nuscenes.yaml
)
train = _distillation
transforms = [dict(type=DropCuboid)]  # published: SLidR, ppkt_nuscenes.yaml, transforms_mixed
