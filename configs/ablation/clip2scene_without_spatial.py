r"""CLIP2Scene of the demo without Eq. 2-4: only the semantic term is left.

pc-ssl compare configs/demo/clip2scene.py configs/ablation/clip2scene_without_spatial.py \
    --task configs/demo/segmentation.py --cache cache --work-dir work_dirs/ablation --steps 150 --labels 0.01
"""

from mmengine.config import read_base

with read_base():
    from ..demo.clip2scene import method, train

method.update(spatial_weight=0.0)
