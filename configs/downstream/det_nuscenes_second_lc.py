r"""Detection on nuScenes from ten sweeps and six images: VoxelNet/SECOND, Swin-T with Lift-Splat, and TransFusion's
head on their fused map.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl pretrain configs/pretrain/prc_nuscenes_second.py --cache cache --work-dir work_dirs/prc
pc-ssl pretrain configs/pretrain/rad_nuscenes_second.py --cache cache \
    --init teacher=work_dirs/prc/weights.safetensors --work-dir work_dirs/rad
pc-ssl finetune configs/downstream/det_nuscenes_second_lc.py --cache cache --labels 0.05 \
    --init lidar=work_dirs/prc/weights.safetensors --init camera=work_dirs/rad/weights.safetensors \
    --work-dir work_dirs/det_second_lc
"""

from mmengine.config import read_base

from pc_ssl.heads.detection import DetectionTask
from pc_ssl.heads.transfusion import TransFusionHead
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes_bev import _camera_with_lidar, _fuser, _images, _second
    from .._base_.nuscenes_bev_tasks import _augmentation, _detection

task = dict(
    type=DetectionTask,
    backbone=dict(
        type=BevEncoder,
        lidar=_second,
        camera=_camera_with_lidar,
        fuser=_fuser,
    ),
    head=dict(type=TransFusionHead),  # published: BEVFusion, det/transfusion; 200 queries, one decoder layer
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, boxes=True),
    class_balanced=True,  # prototype
)
# ours, as LiDAR alone; published: BEVFusion, on top of a trained LiDAR detector, 6 epochs at 2e-4 along a cosine after
# 500 steps
train = _detection
label_rule = "calico"
