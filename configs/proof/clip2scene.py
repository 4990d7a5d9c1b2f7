r"""CLIP2Scene on the benchmark's network, with the simulator's CLIP, which learned on other streets.

pc-ssl simulate nuscenes --out other-streets --cameras 2 --image-size 320x180 --seed 1
pc-ssl prepare nuscenes --root other-streets --version v1.0-mini --out other-cache
pc-ssl simulate teacher --kind clip --cache other-cache --out work_dirs/clip_teacher
pc-ssl pretrain configs/proof/clip2scene.py --cache cache --work-dir work_dirs/clip2scene
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.clip2scene import CLIP2Scene
from pc_ssl.models.clip import MaskClip

with read_base():
    from .._base_.proof_images import _views
    from .._base_.proof_unet import _backbone

method = dict(
    type=CLIP2Scene,
    backbone=_backbone,
    clip=dict(type=MaskClip, folder="work_dirs/clip_teacher"),
    views=_views,
    cell_size=0.5,  # cells of 0.1 m (prototype) hold one point of a sparse sweep
    # ours: in so few steps a network's own classes are of no use; published: CLIP2Scene, switchable self-training
    switch_after=None,
)
train = dict(
    type=TrainOptions, steps=1500, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
