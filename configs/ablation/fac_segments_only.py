r"""FAC of the demo without its correspondence term.

pc-ssl compare configs/demo/fac.py configs/ablation/fac_segments_only.py \
    --task configs/demo/segmentation.py --cache cache --work-dir work_dirs/ablation --steps 150 --labels 0.01
"""

from mmengine.config import read_base

with read_base():
    from ..demo.fac import method, region, train

method.update(beta=0.0)
