r"""CLIP2Scene of the demo with self-training in the second half of 150 steps, as published for 20 epochs.

pc-ssl compare configs/demo/clip2scene.py configs/ablation/clip2scene_switching.py \
    --task configs/demo/segmentation.py --cache cache --work-dir work_dirs/ablation --steps 150 --labels 0.01
"""

from mmengine.config import read_base

with read_base():
    from ..demo.clip2scene import method, train

method.update(switch_after=75)
