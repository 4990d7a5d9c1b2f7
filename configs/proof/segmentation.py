r"""The benchmark's segmentation of points: 16 classes, few labelled frames. Learning rates and steps of each start are
chosen on validation streets, so the values here are placeholders for a run by hand.

pc-ssl finetune configs/proof/segmentation.py --cache cache --init work_dirs/prc/weights.safetensors --labels 0.05 \
    --work-dir work_dirs/finetune
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.views.lidar import SingleView

with read_base():
    from .._base_.proof_unet import _augmentation, _backbone

task = dict(
    type=SegmentationTask,
    backbone=_backbone,
    view=dict(type=SingleView, augmentation=_augmentation),
    supervision="voxel_majority",
)
train = dict(
    type=TrainOptions, steps=400, batch_size=4, learning_rate=1e-2, num_workers=0, log_every=50, checkpoint_every=200
)
label_rule = "frames"
