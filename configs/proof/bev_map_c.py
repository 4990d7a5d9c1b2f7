r"""Map segmentation on the benchmark's streets, from images, the same steps whatever it starts from.

pc-ssl finetune configs/proof/bev_map_c.py --cache cache --labels 0.1 --work-dir work_dirs/bev_map_c \
    --init camera=work_dirs/bev_rad/weights.safetensors
"""

from mmengine.config import read_base

from pc_ssl.heads.bev_map import MapTask
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.proof_bev import _augmentation, _camera_encoder, _images
    from .._base_.proof_bev_tasks import _map, _map_head

task = dict(
    type=MapTask,
    backbone=_camera_encoder,
    head=_map_head,
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, bev_map=True),
)
train = _map
label_rule = "frames"
