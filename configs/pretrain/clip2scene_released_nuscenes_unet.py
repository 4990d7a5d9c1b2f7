r"""CLIP2Scene as the authors' released code computes it, to compare with clip2scene_nuscenes_unet.py.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 11 --out cache --workers 16
pc-ssl pretrain configs/pretrain/clip2scene_released_nuscenes_unet.py --cache cache --split parametrizing \
    --work-dir work_dirs/clip2scene_released --set method.clip.folder=clip-vit-base-patch16
"""

from mmengine.config import read_base

with read_base():
    from .clip2scene_nuscenes_unet import method, train, transforms  # noqa: F401

method.update(variant="released", switch_after=54153)  # prototype: from the 12th of 20 epochs on
method["clip"].update(verbatim=("traffic_cone", "other_flat"))  # prototype: embedded with their underscores
