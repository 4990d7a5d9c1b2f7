r"""Both branches at once on nuScenes, after SimIPU, with BEV maps in place of its image plane: what CALICO compares
its two stages with.
Origin of the values: published, prototype or ours.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 10 --out cache --workers 16
torchrun --nproc-per-node 4 -m pc_ssl.cli pretrain configs/pretrain/sim_ipu_nuscenes_second.py --cache cache \
    --work-dir work_dirs/sim_ipu

`--init work_dirs/sim_ipu/weights.safetensors` starts downstream/det_nuscenes_second_lc.py; its fuser is untrained.
"""

from mmengine.config import read_base

from pc_ssl.methods.sim_ipu import JointViews, SimIPU
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

with read_base():
    from .._base_.nuscenes import _pretraining
    from .._base_.nuscenes_bev import _camera_with_lidar, _fuser, _images, _second

# published: SimIPU, implementation details; +-90 degrees, scale 0.75 to 1.25
_wide = dict(type=Augmentation, rotation=1.5707963267948966, scale=(0.75, 1.25), flip=0.5, shift=0.0)

method = dict(
    type=SimIPU,
    backbone=dict(
        type=BevEncoder,
        lidar=_second,
        camera=_camera_with_lidar,
        fuser=_fuser,
    ),
    views=dict(
        type=JointViews,
        first=dict(
            type=DrawnViews,
            sensors=dict(type=SensorViews, augmentation=_wide, images=_images),
            inside=1024,  # as RAD
            outside=1024,
        ),
        augmentation=_wide,
    ),
    hidden_channels=256,  # ours
    embedding_channels=128,  # published: SimIPU, implementation details
    temperature=0.07,  # published: SimIPU, implementation details
)
train = _pretraining  # as RAD, to compare with
region = "dbscan"  # as RAD
