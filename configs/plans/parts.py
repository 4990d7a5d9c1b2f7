"""Ablation of CLIP2Scene, FAC and PRC: each method of the demo, and the same with one value changed.

pc-ssl prepare nuscenes --root streets --version v1.0-mini --out cache --regions dbscan,random_boxes,slic
pc-ssl compare --plan parts --cache cache --work-dir work_dirs/parts
"""

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Kind, Method, Plan, Pretraining

CHANGES = {
    "clip2scene": ("demo/clip2scene", ()),
    "clip2scene_without_semantic": ("demo/clip2scene", ("method.semantic_weight=0.0",)),  # Eq. 1
    "clip2scene_without_spatial": ("demo/clip2scene", ("method.spatial_weight=0.0",)),  # Eq. 2-4
    "clip2scene_switching": ("demo/clip2scene", ("method.switch_after=75",)),  # self-training in the second half
    "clip2scene_released": ("demo/clip2scene", ("method.variant=released",)),  # losses of the released code
    "prc": ("demo/prc", ()),
    "prc_alpha_05": ("demo/prc", ("method.alpha=0.5",)),  # both losses have the same weight, as in CALICO
    "prc_alpha_09": ("demo/prc", ("method.alpha=0.9",)),  # PLRC has nearly all the weight
    "prc_random_boxes": ("demo/prc", ("region=random_boxes",)),  # boxes of random place and size as regions
    "fac": ("demo/fac", ()),
    "fac_segments_only": ("demo/fac", ("method.beta=0.0",)),  # without the correspondence term
    "fac_random_anchors": ("demo/fac", ("method.views.anchors=random",)),  # any points as anchors
}
plan = Plan(
    methods=(
        Method("scratch"),
        *(Method(name, {WHOLE: Pretraining(name, config, overrides)}) for name, (config, overrides) in CHANGES.items()),
    ),
    evaluations=(
        Evaluation("probe", "demo/segmentation", Kind.PROBE),
        Evaluation("finetune", "demo/segmentation", fractions=(0.01,)),
        Evaluation("annotation-free", "demo/segmentation", Kind.ANNOTATION_FREE),
    ),
    steps=150,
)
