"""The heads and the schedules of the benchmark's detection and map segmentation."""

from pc_ssl.engine.options import TrainOptions
from pc_ssl.heads.bev_map import BevMapHead
from pc_ssl.heads.center_point import CenterPointHead

# ours: one group, 24 channels, one convolution a branch, and a larger weight of boxes for few steps; published:
# CenterPoint, six groups, 64, two, 0.25, and scores above 0.1
_detection_head = dict(
    type=CenterPointHead,
    groups="one",
    shared_channels=24,
    branch_layers=1,
    box_weight=1.0,
    score_threshold=0.05,
)
_map_head = dict(type=BevMapHead, hidden_channels=16)  # ours; published: BEVFusion, as many as the features have
_detection = dict(
    type=TrainOptions, steps=600, batch_size=4, learning_rate=1e-2, num_workers=0, log_every=20, checkpoint_every=100
)
_map = dict(
    type=TrainOptions, steps=300, batch_size=4, learning_rate=1e-2, num_workers=0, log_every=20, checkpoint_every=100
)
