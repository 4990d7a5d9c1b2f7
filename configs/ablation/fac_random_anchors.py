r"""FAC of the demo with any points in the place of foreground points.

pc-ssl compare configs/demo/fac.py configs/ablation/fac_random_anchors.py \
    --task configs/demo/segmentation.py --cache cache --work-dir work_dirs/ablation --steps 150 --labels 0.01
"""

from mmengine.config import read_base

with read_base():
    from ..demo.fac import method, region, train

method["views"].update(anchors="random")
