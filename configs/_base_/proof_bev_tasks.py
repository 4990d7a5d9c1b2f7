"""The heads and the schedules of the benchmark's detection and map segmentation."""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.bev_map import BevMapHead
from pc_ssl.heads.center_point import CenterPointHead

# ours: one group and one convolution a branch; published: CenterPoint, six groups, two, and scores above 0.1
_detection_head = dict(
    type=CenterPointHead, groups="one", shared_channels=32, branch_layers=1, min_radius=1, score_threshold=0.05
)
_map_head = dict(type=BevMapHead)
_detection = dict(
    type=TrainOptions, steps=700, batch_size=4, learning_rate=1e-2, num_workers=0, log_every=20, checkpoint_every=100
)
_map = dict(
    type=TrainOptions, steps=300, batch_size=4, learning_rate=1e-2, num_workers=0, log_every=20, checkpoint_every=100
)
