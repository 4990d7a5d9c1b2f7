r"""PRC of the demo with boxes of random place and size in the place of clusters. The cache needs them.

pc-ssl prepare nuscenes --root streets --version v1.0-mini --out cache --add-regions random_boxes
pc-ssl compare configs/demo/prc.py configs/ablation/prc_random_boxes.py \
    --task configs/demo/segmentation.py --cache cache --work-dir work_dirs/ablation --steps 150 --labels 0.01
"""

from mmengine.config import read_base

with read_base():
    from ..demo.prc import method, train

region = "random_boxes"
