"""Augmentation and schedules that detection and map segmentation on nuScenes share. Values say where they come from:
published (BEVFusion and its code, whose protocol CALICO takes over), prototype (the code of CALICO's first author) or
ours.

Steps are those of 5 % of the labels, CALICO's smallest share: 35 scenes, about 1,400 keyframes. Multiply them by 2, 4,
10 and 20 for 10, 20, 50 and 100 % (`--set train.steps=...`).
"""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.schedule import Cyclic
from pc_ssl.views.lidar import Augmentation

_augmentation = dict(
    type=Augmentation,
    rotation=0.7853981633974483,  # published: +-45 degrees
    scale=(0.9, 1.1),  # published
    flip=0.5,  # published: along both axes
    shift=0.5,  # published, metres
)

# 20 epochs (published) of about 6,200 frames, which class balancing makes of 1,400, in batches of 16 (ours)
_detection = dict(
    type=TrainOptions,
    steps=7750,
    batch_size=16,
    # published, for batches of 32 (configs/nuscenes/det/transfusion/secfpn/default.yaml): lr = 1e-4 is the first step
    # of mmcv's cycle, whose peak is ten times that
    learning_rate=1e-3,
    weight_decay=0.01,  # published, same file
    schedule="cyclic",  # published, same file
    clip_norm=35.0,  # published, same file
    precision="bf16",  # ours
    num_workers=8,
)

# published (configs/nuscenes/det/centerhead/lssfpn/camera/256x704/swint/default.yaml): from 2e-4 to 1e-3 and down to
# 1e-8, the image backbone at a tenth
_camera_detection = dict(
    _detection,
    schedule=dict(type=Cyclic, peak_ratio=5.0, end_ratio=5e-5),
    learning_rate_multipliers={"backbone.camera.image": 0.1},
)

# 20 epochs (published) of as many frames as in detection, which BEVFusion balances by classes of boxes for maps too
# (CBGSDataset in configs/nuscenes/default.yaml); published (configs/nuscenes/seg): the optimiser of detection
_map = _detection
