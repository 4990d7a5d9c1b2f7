r"""PRC of the demo with the published alpha of 0.5: both losses weigh the same.

pc-ssl compare configs/demo/prc.py configs/ablation/prc_alpha_05.py \
    --task configs/demo/segmentation.py --cache cache --work-dir work_dirs/ablation --steps 150 --labels 0.01
"""

from mmengine.config import read_base

with read_base():
    from ..demo.prc import method, region, train

method.update(alpha=0.5)
