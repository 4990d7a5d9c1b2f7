r"""CLIP2Scene of the demo without Eq. 1: only the spatial-temporal term is left.

pc-ssl compare configs/demo/clip2scene.py configs/ablation/clip2scene_without_semantic.py \
    --task configs/demo/segmentation.py --cache cache --work-dir work_dirs/ablation --steps 150 --labels 0.01
"""

from mmengine.config import read_base

with read_base():
    from ..demo.clip2scene import method, train

method.update(semantic_weight=0.0)
