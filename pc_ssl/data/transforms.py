"""Changes of scenes before the views see them; `TRANSFORMS` names them. A config lists them under `transforms`."""

from pc_ssl.data.annotations import FewLabels
from pc_ssl.data.object_bank import ObjectPaste

TRANSFORMS = {"few_labels": FewLabels, "object_paste": ObjectPaste}

__all__ = ["TRANSFORMS", "FewLabels", "ObjectPaste"]
