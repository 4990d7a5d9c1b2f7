"""Augmentation and schedules that detection and map segmentation on nuScenes share. Origin of the values:
published (BEVFusion and its code, whose protocol CALICO takes over), prototype (the code of CALICO's first author) or
ours.

Steps are those of 5 % of the labels, CALICO's smallest share: 35 scenes, about 1,400 keyframes. Multiply them by 2, 4,
10 and 20 for 10, 20, 50 and 100 % (`--set train.steps=...`).
"""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.schedule import Cyclic
from pc_ssl.views.lidar import Augmentation

_camera_augmentation = dict(
    type=Augmentation,
    rotation=0.3925,  # published: BEVFusion, det/centerhead/lssfpn/camera, augment3d.rotate; 22.5 degrees
    scale=(0.95, 1.05),  # published: BEVFusion, det/centerhead/lssfpn/camera, augment3d.scale
    flip=0.5,  # published: BEVFusion, default.yaml, RandomFlip3D; along both axes
    shift=0.0,  # published: BEVFusion, det/centerhead/lssfpn/camera, augment3d.translate
)
_augmentation = dict(
    type=Augmentation,
    rotation=0.7853981633974483,  # published: BEVFusion, default.yaml; +-45 degrees
    scale=(0.9, 1.1),  # published: BEVFusion, default.yaml
    flip=0.5,  # published: BEVFusion, default.yaml; along both axes
    shift=0.5,  # published: BEVFusion, default.yaml; metres
)

# ours: 20 epochs of about 6,200 frames, which class balancing makes of 1,400, in batches of 16; published: BEVFusion,
# 20
# epochs
_detection = dict(
    type=TrainOptions,
    steps=7750,
    batch_size=16,
    # published: BEVFusion, det/transfusion/secfpn; for batches of 32: lr = 1e-4 there is
    # the first step of mmcv's cycle, whose peak is ten times that
    learning_rate=1e-3,
    weight_decay=0.01,  # published: BEVFusion, det/transfusion/secfpn
    schedule="cyclic",  # published: BEVFusion, det/transfusion/secfpn
    clip_norm=35.0,  # published: BEVFusion, det/transfusion/secfpn
    precision="bf16",  # ours
    num_workers=8,
)

# published: BEVFusion, det/centerhead/lssfpn/camera/256x704/swint; from 2e-4 to 1e-3 and down to
# 1e-8, the image backbone at a tenth
_camera_detection = dict(
    _detection,
    schedule=dict(type=Cyclic, peak_ratio=5.0, end_ratio=5e-5),
    learning_rate_multipliers={"backbone.camera.image": 0.1},
)

# ours: steps of as many frames as in detection. published: BEVFusion, seg; the optimiser of detection, and
# 20 epochs of frames that are balanced by classes of boxes for maps too (CBGSDataset)
_map = _detection
