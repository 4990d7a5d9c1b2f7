"""The image networks and the views of simulated images that the benchmark's configs share in which images teach points.

The teacher is a ResNet that `pc-ssl simulate teacher --kind resnet` trains on other streets; a network of the same size
with random weights is the negative control."""

from mmengine.config import read_base

from pc_ssl.models.camera import PixelFeatures, PretrainedBackbone, RandomResNet
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .proof_unet import _augmentation

_taught = dict(type=PretrainedBackbone, source="work_dirs/image_teacher", stages=(1, 2, 3), frozen=True)
_untaught = dict(
    type=RandomResNet,
    channels=(32, 64, 64),
    depths=(1, 1, 1),
    stem_channels=32,
    bottleneck=False,
    stages=(1, 2, 3),
    frozen=True,
)
_image = dict(type=PixelFeatures, backbone=_taught, out_channels=32)
_random_image = dict(type=PixelFeatures, backbone=_untaught, out_channels=32)
_views = dict(
    type=SensorViews,
    augmentation=_augmentation,
    # images of 320 x 180 as they are, without their upper four rows
    images=dict(type=ImageAugmentation, width=320, height=176, resize=(1.0, 1.0), rotation=0.0, flip=0.5),
    pairs=True,
)
