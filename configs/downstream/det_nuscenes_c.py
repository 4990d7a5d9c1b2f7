r"""Detection on nuScenes from six images: Swin-T with Lift-Splat and CenterPoint's head.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl pretrain configs/pretrain/prc_nuscenes_pillars.py --cache cache --work-dir work_dirs/prc_pillars
pc-ssl pretrain configs/pretrain/rad_nuscenes_pillars.py --cache cache \
    --init teacher=work_dirs/prc_pillars/weights.safetensors --work-dir work_dirs/rad_pillars
pc-ssl finetune configs/downstream/det_nuscenes_c.py --cache cache --labels 0.05 \
    --init camera=work_dirs/rad_pillars/weights.safetensors --work-dir work_dirs/det_c
"""

from mmengine.config import read_base

from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.heads.suppression import MixedNms
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes_bev import _camera_of_pillars, _images
    from .._base_.nuscenes_bev_tasks import _camera_augmentation, _camera_detection

# published: BEVFusion, det/centerhead/lssfpn/camera
_suppression = dict(
    type=MixedNms,
    distance=(2.0, None, None, 1.0, None, None),  # of the groups; cars and barriers by circles
    threshold=0.2,
    scale=(1.0, 1.0, 1.0, 1.0, 1.0, 2.5, 1.0, 1.0, 4.0, 1.0),  # of the classes; pedestrians and cones overlap enlarged
)

task = dict(
    type=DetectionTask,
    backbone=dict(type=BevEncoder, camera=_camera_of_pillars),
    head=dict(type=CenterPointHead, suppression=_suppression),  # published: BEVFusion, det/centerhead
    views=dict(type=SensorViews, augmentation=_camera_augmentation, images=_images, boxes=True),
    class_balanced=True,  # published: BEVFusion, default.yaml
)
train = _camera_detection
label_rule = "calico"
