r"""CLIP2Scene on the demo's network, with the teacher that `pc-ssl simulate teacher` trains on other streets.

pc-ssl simulate nuscenes --out streets --scenes 20 --keyframes 4 --sweeps 2 --image-size 320x180
pc-ssl prepare nuscenes --root streets --version v1.0-mini --sweeps 3 --out cache
pc-ssl pretrain configs/demo/clip2scene.py --cache cache --work-dir work_dirs/clip2scene \
    --set method.clip.folder=work_dirs/teacher
"""

from mmengine.config import read_base

from pc_ssl.data.drawn_sweeps import DrawnSweeps
from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.clip2scene import CLIP2Scene
from pc_ssl.models.clip import MaskClip
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.small_unet import _augmentation, _backbone

method = dict(
    type=CLIP2Scene,
    backbone=_backbone,
    clip=dict(type=MaskClip, folder="work_dirs/teacher"),
    views=dict(
        type=SensorViews,
        augmentation=_augmentation,
        # images of 320 x 180 as they are, without their upper four rows
        images=dict(type=ImageAugmentation, width=320, height=176, resize=(1.0, 1.0), rotation=0.0, flip=0.0),
        pairs=True,
    ),
    cell_size=0.5,  # cells of 0.1 m (prototype) hold one point of a sparse sweep
    # ours: in so few steps a network's own classes are of no use; published: CLIP2Scene, switchable self-training
    switch_after=None,
)
transforms = [dict(type=DrawnSweeps, count=2)]  # three sweeps, each a cloud of its own, where the cache holds them
train = dict(
    type=TrainOptions, steps=350, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=10, checkpoint_every=50
)
