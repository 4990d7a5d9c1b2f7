"""Losses: pure functions of tensors, in float32, each with the equation that it computes."""

from pc_ssl.losses.hard_negatives import hard_negative_mixing
from pc_ssl.losses.info_nce import info_nce
from pc_ssl.losses.momentum_contrast import MemoryQueue, MomentumTeacher
from pc_ssl.losses.supervised_contrastive import PositiveMean, supervised_contrastive
from pc_ssl.losses.uniformity import alignment, cross_uniformity, uniformity

__all__ = [
    "MemoryQueue",
    "MomentumTeacher",
    "PositiveMean",
    "alignment",
    "cross_uniformity",
    "hard_negative_mixing",
    "info_nce",
    "supervised_contrastive",
    "uniformity",
]
