"""Changes of scenes before the views see them; `TRANSFORMS` names them. A config lists them under `transforms`."""

from pc_ssl.data.annotations import FewLabels
from pc_ssl.data.drawn_sweeps import DrawnSweeps
from pc_ssl.data.object_bank import ObjectPaste

TRANSFORMS = {"few_labels": FewLabels, "drawn_sweeps": DrawnSweeps, "object_paste": ObjectPaste}

__all__ = ["TRANSFORMS", "DrawnSweeps", "FewLabels", "ObjectPaste"]
