r"""FAC in the rooms of ScanNet, on pairs of overlapping RGB-D frames and with learned correlations.
Values say where they come from: published, prototype or ours.

pc-ssl prepare scannet --root scannet --frame-step 25 --regions vccs --out cache --workers 16
pc-ssl pretrain configs/pretrain/fac_scannet_frames_unet.py --cache cache \
    --work-dir work_dirs/fac_scannet_frames_unet
"""

from mmengine.config import read_base

from pc_ssl.views.frame_pairs import FramePairs

with read_base():
    from .fac_scannet_unet import method, region, train  # noqa: F401

# reconstructed: FAC's pairs are not public; 0.3 is the least overlap of PointContrast's pairs; min_points is ours
method["views"].update(frames=dict(type=FramePairs, overlap=0.3, min_points=1024))
method.update(correlation="learned", correlation_channels=64)  # reconstructed
