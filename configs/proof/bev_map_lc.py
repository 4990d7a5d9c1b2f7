r"""Map segmentation on the benchmark's streets, from points and images, the same steps whatever it starts from.

pc-ssl finetune configs/proof/bev_map_lc.py --cache cache --labels 0.1 --work-dir work_dirs/bev_map_lc \
    --init lidar=work_dirs/bev_prc/weights.safetensors --init camera=work_dirs/bev_rad/weights.safetensors
"""

from mmengine.config import read_base

from pc_ssl.heads.bev_map import MapTask
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.proof_bev import _augmentation, _encoder, _images
    from .._base_.proof_bev_tasks import _map, _map_head

task = dict(
    type=MapTask,
    backbone=_encoder,
    head=_map_head,
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, bev_map=True),
)
train = _map
label_rule = "frames"
