r"""Map segmentation on nuScenes from six images: Swin-T with Lift-Splat. Needs the map expansion in the data root.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl finetune configs/downstream/map_nuscenes_c.py --cache cache --labels 0.05 \
    --init camera=work_dirs/rad/weights.safetensors --work-dir work_dirs/map_c

The weights are those of pretrain/rad_nuscenes_second.py for a branch that sees images alone:
--set method.backbone.lidar_depth=False --set method.backbone.halve=False
--set "method.backbone.encoder_channels=(80, 160)"
"""

from mmengine.config import read_base

from pc_ssl.heads.bev_map import BevMapHead, MapTask
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes_bev import _camera, _images
    from .._base_.nuscenes_bev_tasks import _augmentation, _map

task = dict(
    type=MapTask,
    backbone=dict(type=BevEncoder, camera=_camera),  # prototype: +-54 m in cells of 0.3 m
    head=dict(type=BevMapHead),  # published: BEVFusion, mmdet3d/models/heads/segm/vanilla.py
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, bev_map=True),
    class_balanced=True,  # published: BEVFusion, default.yaml, CBGSDataset
)
train = _map
label_rule = "calico"
