"""PPKT for the demo: a small sparse UNet on a CPU, taught by a frozen image network of random weights. Such a teacher
encodes little more than colours and edges: the demo shows that the method runs, not its gain with a trained teacher,
which configs/pretrain/ppkt_nuscenes_unet.py has.

pc-ssl simulate nuscenes --out streets --scenes 40 --image-size 320x180
pc-ssl prepare nuscenes --root streets --version v1.0-mini --out cache
pc-ssl pretrain configs/demo/ppkt.py --cache cache --work-dir work_dirs/ppkt
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.ppkt import PPKT

with read_base():
    from .._base_.small_images import _image, _views
    from .._base_.small_unet import _backbone

method = dict(
    type=PPKT,
    backbone=_backbone,
    image=_image,
    views=_views,
    num_pairs=1024,  # ours, as the cost grows with the square; published: SLidR, 4096
    temperature=0.07,
)
train = dict(
    type=TrainOptions, steps=350, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=10, checkpoint_every=50
)
