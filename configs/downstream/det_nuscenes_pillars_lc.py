r"""Detection on nuScenes from ten sweeps and six images, CALICO's main setting: PointPillars, Swin-T with Lift-Splat,
and CenterPoint's head on their fused map.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl pretrain configs/pretrain/prc_nuscenes_pillars.py --cache cache --work-dir work_dirs/prc_pillars
pc-ssl pretrain configs/pretrain/rad_nuscenes_pillars.py --cache cache \
    --init teacher=work_dirs/prc_pillars/weights.safetensors --work-dir work_dirs/rad_pillars
pc-ssl finetune configs/downstream/det_nuscenes_pillars_lc.py --cache cache --labels 0.05 \
    --init lidar=work_dirs/prc_pillars/weights.safetensors --init camera=work_dirs/rad_pillars/weights.safetensors \
    --work-dir work_dirs/det_pillars_lc
"""

from mmengine.config import read_base

from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes_bev import _camera_of_pillars, _images, _pillars
    from .._base_.nuscenes_bev_tasks import _augmentation, _detection

task = dict(
    type=DetectionTask,
    backbone=dict(
        type=BevEncoder,
        lidar=_pillars,
        camera=_camera_of_pillars,
        # ours: fused after both necks, so that both pretrained branches go in whole; published: BEVFusion, before
        # LiDAR's neck
        fuser=dict(type=ConvFuser),
    ),
    head=dict(type=CenterPointHead),  # published: BEVFusion, det/centerhead; six groups, rotated NMS at 0.2
    views=dict(type=SensorViews, augmentation=_augmentation, images=_images, boxes=True),
    class_balanced=True,  # prototype
)
train = _detection  # ours, as LiDAR alone
label_rule = "calico"
