r"""Detection on nuScenes from ten sweeps: VoxelNet/SECOND with TransFusion's head, as CALICO pairs them.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
pc-ssl pretrain configs/pretrain/prc_nuscenes_second.py --cache cache --work-dir work_dirs/prc
pc-ssl finetune configs/downstream/det_nuscenes_second_l.py --cache cache --labels 0.05 \
    --init lidar=work_dirs/prc/weights.safetensors --work-dir work_dirs/det_second_l
"""

from mmengine.config import read_base

from pc_ssl.data.object_bank import ObjectPaste
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.heads.transfusion import TransFusionHead
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes_bev import _second
    from .._base_.nuscenes_bev_tasks import _augmentation, _detection

task = dict(
    type=DetectionTask,
    backbone=dict(type=BevEncoder, lidar=_second),
    head=dict(type=TransFusionHead),  # published: BEVFusion, det/transfusion; 200 queries, one decoder layer
    views=dict(type=SensorViews, augmentation=_augmentation, boxes=True),
    class_balanced=True,  # prototype
)
train = _detection
label_rule = "calico"
transforms = [dict(type=ObjectPaste)]  # ours: throughout; published: BEVFusion, not in the last quarter of the run
