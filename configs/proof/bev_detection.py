r"""Detection on the benchmark's streets, from points: CenterPoint, the same steps whatever it starts from.

pc-ssl finetune configs/proof/bev_detection.py --cache cache --labels 0.1 --work-dir work_dirs/bev_detection \
    --init lidar=work_dirs/bev_prc/weights.safetensors
"""

from mmengine.config import read_base

from pc_ssl.heads.detection import DetectionTask
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.proof_bev import _augmentation, _lidar_encoder
    from .._base_.proof_bev_tasks import _detection, _detection_head

task = dict(
    type=DetectionTask,
    backbone=_lidar_encoder,
    head=_detection_head,
    views=dict(type=SensorViews, augmentation=_augmentation, boxes=True),
)
train = _detection
label_rule = "frames"
