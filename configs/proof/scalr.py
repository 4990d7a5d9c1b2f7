r"""ScaLR on the benchmark's network, with an image network that learned on other streets.

pc-ssl simulate nuscenes --out other-streets --cameras 2 --image-size 320x180 --seed 1
pc-ssl prepare nuscenes --root other-streets --version v1.0-mini --out other-cache
pc-ssl simulate teacher --kind resnet --cache other-cache --out work_dirs/image_teacher
pc-ssl pretrain configs/proof/scalr.py --cache cache --work-dir work_dirs/scalr
"""

from mmengine.config import read_base

from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.scalr import ScaLR
from pc_ssl.models.camera import PixelFeatures

with read_base():
    from .._base_.proof_images import _taught, _views
    from .._base_.proof_unet import _backbone

method = dict(
    type=ScaLR, backbone=_backbone, image=dict(type=PixelFeatures, backbone=_taught, out_channels=None), views=_views
)
train = dict(
    type=TrainOptions, steps=1500, batch_size=2, learning_rate=3e-3, num_workers=0, log_every=50, checkpoint_every=250
)
