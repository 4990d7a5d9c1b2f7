r"""RAD on networks of seconds, to see that data, method and machine fit together; its weights are of no use.

pc-ssl pretrain configs/smoke/prc_second.py --cache cache --work-dir work_dirs/smoke
pc-ssl pretrain configs/smoke/rad_second.py --cache cache --work-dir work_dirs/smoke_rad \
    --init teacher=work_dirs/smoke/weights.safetensors
"""

from mmengine.config import read_base

from pc_ssl.methods.rad import RAD

with read_base():
    from .._base_.smoke import _steps
    from .._base_.smoke_bev import _camera, _second, _views

method = dict(
    type=RAD,
    backbone=_camera,
    teacher=_second,
    views=_views,
    hidden_channels=16,
    embedding_channels=16,
)
train = _steps
region = "dbscan"
