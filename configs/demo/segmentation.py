r"""The demo's downstream task: 16 classes of points on the same small UNet, the same steps whatever it starts from.

pc-ssl finetune configs/demo/segmentation.py --cache cache --init work_dirs/demo/pretrain/prc-0/weights.safetensors \
    --labels 0.05 --work-dir work_dirs/demo/finetune/prc-0
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.views.lidar import SingleView

with read_base():
    from .._base_.small_unet import _augmentation, _backbone

task = dict(type=SegmentationTask, backbone=_backbone, view=dict(type=SingleView, augmentation=_augmentation))
# 0.03 is the best learning rate from scratch among 0.003, 0.01, 0.03 and 0.06, on other simulated streets.
train = dict(
    type=TrainOptions, steps=60, batch_size=4, learning_rate=3e-2, num_workers=0, log_every=10, checkpoint_every=20
)
label_rule = "slidr"
