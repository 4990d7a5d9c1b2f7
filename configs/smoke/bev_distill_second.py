r"""BEVDistill on networks of seconds, to see that data, method and machine fit together; its weights are of no use.

pc-ssl pretrain configs/smoke/prc_second.py --cache cache --work-dir work_dirs/smoke
pc-ssl pretrain configs/smoke/bev_distill_second.py --cache cache --work-dir work_dirs/smoke_bev_distill \
    --init teacher=work_dirs/smoke/weights.safetensors
"""

from mmengine.config import read_base

from pc_ssl.methods.bev_distill import BEVDistill

with read_base():
    from .._base_.smoke import _steps
    from .._base_.smoke_bev import _camera, _second, _views

method = dict(type=BEVDistill, backbone=_camera, teacher=_second, views=_views)
train = _steps
region = "dbscan"
