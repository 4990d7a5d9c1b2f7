"""FAC in rooms for the demo: a small sparse UNet on a CPU.

pc-ssl simulate scannet --out rooms --rooms 40
pc-ssl prepare scannet --root rooms --out cache
pc-ssl pretrain configs/demo/room_fac.py --cache cache --work-dir work_dirs/room_fac
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.fac import FAC
from pc_ssl.views.foreground import ForegroundViews

with read_base():
    from .._base_.small_room_unet import _augmentation, _backbone

method = dict(
    type=FAC,
    backbone=_backbone,
    views=dict(type=ForegroundViews, augmentation=_augmentation, foreground=256, background=256),
    hidden_channels=256,
    embedding_channels=64,
    temperature=0.1,
)
train = dict(
    type=TrainOptions, steps=350, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=10, checkpoint_every=50
)
region = "graph"  # the way ScanNet's own segments are cut
