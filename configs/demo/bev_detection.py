r"""Detection for the BEV demo: CenterPoint on both branches, the same steps whatever they start from.

pc-ssl finetune configs/demo/bev_detection.py --cache cache --labels 0.05 --work-dir work_dirs/bev_detection \
    --init lidar=work_dirs/bev_prc/weights.safetensors --init camera=work_dirs/bev_rad/weights.safetensors
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.small_bev import _augmentation, _encoder, _images

task = dict(
    type=DetectionTask,
    backbone=_encoder,
    head=dict(type=CenterPointHead, groups="one", shared_channels=32),  # a sixth of the time of CenterPoint's six
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, boxes=True),
)
train = dict(
    type=TrainOptions, steps=300, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=10, checkpoint_every=50
)
label_rule = "slidr"
