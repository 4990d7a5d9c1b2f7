"""SLidR for the demo: a small sparse UNet on a CPU, taught by a frozen image network of random weights. Such a teacher
encodes little more than colours and edges: the demo shows that the method runs, not its gain with a trained teacher,
which configs/pretrain/slidr_nuscenes_unet.py has.

pc-ssl simulate nuscenes --out streets --scenes 40 --image-size 320x180
pc-ssl prepare nuscenes --root streets --version v1.0-mini --regions dbscan,slic --out cache
pc-ssl pretrain configs/demo/slidr.py --cache cache --work-dir work_dirs/slidr
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.slidr import SLidR

with read_base():
    from .._base_.small_images import _image, _views
    from .._base_.small_unet import _backbone

method = dict(
    type=SLidR,
    backbone=_backbone,
    image=_image,
    views=dict(_views, superpixel="slic"),
    temperature=0.07,
)
train = dict(
    type=TrainOptions, steps=350, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=10, checkpoint_every=50
)
