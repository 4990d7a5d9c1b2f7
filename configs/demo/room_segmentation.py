r"""The task of the demo's rooms: ScanNet's 20 classes of points on the same small UNet, the same steps whatever it
starts from.

pc-ssl finetune configs/demo/room_segmentation.py --cache cache --init work_dirs/room_fac/weights.safetensors \
    --labels 0.2 --work-dir work_dirs/room_segmentation
pc-ssl compare configs/demo/room_fac.py configs/demo/room_point_contrast.py --task configs/demo/room_segmentation.py \
    --cache cache --labels 0.2,1 --work-dir work_dirs/compare_rooms
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.views.lidar import SingleView

with read_base():
    from .._base_.small_room_unet import _augmentation, _backbone

task = dict(
    type=SegmentationTask,
    backbone=_backbone,
    view=dict(type=SingleView, augmentation=_augmentation),
)
train = dict(
    type=TrainOptions, steps=60, batch_size=4, learning_rate=1e-2, num_workers=0, log_every=10, checkpoint_every=20
)
label_rule = "slidr"
