r"""Detection on nuScenes from ten sweeps: PointPillars with CenterPoint's head, as CALICO pairs them.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl pretrain configs/pretrain/prc_nuscenes_pillars.py --cache cache --work-dir work_dirs/prc_pillars
pc-ssl finetune configs/downstream/det_nuscenes_pillars_l.py --cache cache --labels 0.05 \
    --init lidar=work_dirs/prc_pillars/weights.safetensors --work-dir work_dirs/det_pillars_l
"""

from mmengine.config import read_base

from pc_ssl.data.object_bank import ObjectPaste
from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes_bev import _pillars
    from .._base_.nuscenes_bev_tasks import _augmentation, _detection

task = dict(
    type=DetectionTask,
    backbone=dict(type=BevEncoder, lidar=_pillars),
    head=dict(type=CenterPointHead),  # published: BEVFusion, det/centerhead; six groups, rotated NMS at 0.2
    views=dict(type=SensorViews, augmentation=_augmentation, boxes=True),
    class_balanced=True,  # prototype
)
train = _detection
label_rule = "calico"
transforms = [dict(type=ObjectPaste)]  # ours: throughout; published: BEVFusion, not in the last quarter of the run
