"""Pretraining methods, one file each; the table `METHODS` holds them. A config can also name another `Method`."""

from pc_ssl.methods.bev_contrast import BEVContrast
from pc_ssl.methods.bev_distill import BEVDistill
from pc_ssl.methods.clip2scene import CLIP2Scene
from pc_ssl.methods.fac import FAC
from pc_ssl.methods.point_contrast import PointContrast
from pc_ssl.methods.ppkt import PPKT
from pc_ssl.methods.prc import PRC
from pc_ssl.methods.rad import RAD
from pc_ssl.methods.scalr import ScaLR
from pc_ssl.methods.seg_contrast import SegContrast
from pc_ssl.methods.sim_ipu import JointViews, SimIPU
from pc_ssl.methods.slidr import SLidR

METHODS = {
    "bev_contrast": BEVContrast,
    "bev_distill": BEVDistill,
    "clip2scene": CLIP2Scene,
    "fac": FAC,
    "point_contrast": PointContrast,
    "ppkt": PPKT,
    "prc": PRC,
    "rad": RAD,
    "scalr": ScaLR,
    "seg_contrast": SegContrast,
    "sim_ipu": SimIPU,
    "slidr": SLidR,
}

__all__ = ["METHODS", "JointViews", *sorted(method.__name__ for method in METHODS.values())]
