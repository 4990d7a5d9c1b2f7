r"""Map segmentation for the BEV demo, on both branches, the same steps whatever they start from.

pc-ssl finetune configs/demo/bev_map.py --cache cache --labels 0.05 --work-dir work_dirs/bev_map \
    --init lidar=work_dirs/bev_prc/weights.safetensors --init camera=work_dirs/bev_rad/weights.safetensors
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.bev_map import BevMapHead, MapTask
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.small_bev import _augmentation, _encoder, _images

task = dict(
    type=MapTask,
    backbone=_encoder,
    head=dict(type=BevMapHead),
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, bev_map=True),
)
train = dict(
    type=TrainOptions, steps=150, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=10, checkpoint_every=50
)
label_rule = "slidr"
