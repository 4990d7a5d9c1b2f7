r"""Map segmentation on nuScenes from ten sweeps and six images: VoxelNet/SECOND and Swin-T with Lift-Splat. Needs the
map expansion in the data root.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl finetune configs/downstream/map_nuscenes_lc.py --cache cache --labels 0.05 \
    --init lidar=work_dirs/prc/weights.safetensors --init camera=work_dirs/rad/weights.safetensors \
    --work-dir work_dirs/map_lc

The weights are those of pretrain/prc_nuscenes_second.py and rad_nuscenes_second.py.
"""

from mmengine.config import read_base

from pc_ssl.heads.bev_map import BevMapHead, MapTask
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes_bev import _camera_with_lidar, _fuser, _images, _second
    from .._base_.nuscenes_bev_tasks import _augmentation, _map

task = dict(
    type=MapTask,
    backbone=dict(
        type=BevEncoder,
        lidar=_second,
        camera=_camera_with_lidar,
        fuser=_fuser,
    ),
    head=dict(type=BevMapHead),  # published: BEVFusion, mmdet3d/models/heads/segm/vanilla.py
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, bev_map=True),
    class_balanced=True,  # published: BEVFusion, default.yaml, CBGSDataset
)
train = _map
label_rule = "calico"
