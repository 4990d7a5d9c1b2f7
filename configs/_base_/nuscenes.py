"""Ranges, views and schedule that the nuScenes configs share. Origin of the values: published (a paper),
prototype (the authors' own code) or ours."""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.geometry import BevGrid
from pc_ssl.views.lidar import Augmentation

# prototype: +-54 m and 0.075 m, the VoxelNet setting of BEVFusion; 1440 x 1440 x 40 voxels
_grid = dict(type=BevGrid, lower=(-54.0, -54.0, -5.0), upper=(54.0, 54.0, 3.0), voxel_size=(0.075, 0.075, 0.2))

_augmentation = dict(
    type=Augmentation,
    rotation=1.5707963267948966,  # published: CALICO, augmentation of each view; +-90 degrees
    scale=(0.9, 1.1),  # published: CALICO, augmentation of each view
    flip=0.5,  # prototype: random flips along both axes
    shift=0.5,  # prototype, metres
)

# ours: 20 epochs of the 28,130 training keyframes in batches of 16; published: CALICO, 20 epochs; prototype: batches of
# 2
# to 4 on each GPU
_pretraining = dict(
    type=TrainOptions,
    steps=35160,
    batch_size=16,
    learning_rate=1e-3,  # prototype: its lr = 1e-4 is the first step of the cycle, whose peak is ten times that
    weight_decay=0.01,  # prototype
    schedule="cyclic",  # prototype: lr_config and momentum_config, inherited from BEVFusion
    precision="bf16",  # ours
    num_workers=8,
)
