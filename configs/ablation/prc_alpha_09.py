r"""PRC of the demo with alpha = 0.9: PLRC, which contrasts points with regions, has nearly all the weight.

pc-ssl compare configs/demo/prc.py configs/ablation/prc_alpha_09.py \
    --task configs/demo/segmentation.py --cache cache --work-dir work_dirs/ablation --steps 150 --labels 0.01
"""

from mmengine.config import read_base

with read_base():
    from ..demo.prc import method, region, train

method.update(alpha=0.9)
