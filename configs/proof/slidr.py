r"""SLidR on the benchmark's network, with an image network that learned on other streets.

pc-ssl simulate nuscenes --out other-streets --cameras 2 --image-size 320x180 --seed 1
pc-ssl prepare nuscenes --root other-streets --version v1.0-mini --out other-cache
pc-ssl simulate teacher --kind resnet --cache other-cache --out work_dirs/image_teacher
pc-ssl pretrain configs/proof/slidr.py --cache cache --work-dir work_dirs/slidr
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.slidr import SLidR

with read_base():
    from .._base_.proof_images import _image, _views
    from .._base_.proof_unet import _backbone

method = dict(type=SLidR, backbone=_backbone, image=_image, views=dict(_views, superpixel="slic"), temperature=0.07)
train = dict(
    type=TrainOptions, steps=1500, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
