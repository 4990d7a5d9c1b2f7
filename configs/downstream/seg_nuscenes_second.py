r"""Point segmentation on the BEV map of VoxelNet/SECOND on nuScenes, ten sweeps: the backbone that PRC pretrains there.

pc-ssl probe configs/downstream/seg_nuscenes_second.py --cache cache --init work_dirs/prc/weights.safetensors \
    --work-dir work_dirs/probe
pc-ssl finetune configs/downstream/seg_nuscenes_second.py --cache cache --init work_dirs/prc/weights.safetensors \
    --labels 0.05 --work-dir work_dirs/finetune --set train.steps=8750

A BEV map gives one feature to all points above a spot of the ground, and none to those beyond its range: results are
to be compared with those of the same network only.
"""

from mmengine.config import read_base

from pc_ssl.heads.segmentation import SegmentationTask
from pc_ssl.views.lidar import SingleView

with read_base():
    from .._base_.nuscenes_bev import _second
    from .._base_.segmentation import _augmentation, _finetuning

task = dict(
    type=SegmentationTask,
    backbone=_second,  # ours: SLidR's protocol has no BEV network
    view=dict(type=SingleView, augmentation=_augmentation),
)
train = _finetuning
label_rule = "slidr"
