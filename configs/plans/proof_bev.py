"""What pretraining of a LiDAR branch buys in detection and map segmentation; stages of `make proof`.

The streets, the labelled subsets and the protocol are those of plans/proof.py. Each task has a positive control of its
own: its network, trained with all labels of the unlabelled streets.
"""

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Method, Permuted, Plan, PlanStage, Pretraining, Role, Selection, Setting

RUNS = 2  # pretrainings of each method: the five seeds start from them in turn
PRC = Pretraining("bev_prc", "proof/bev_prc", runs=RUNS)
DETECTION = Pretraining("labels_detection", "proof/bev_detection", ("train.steps=2000",), runs=RUNS)
MAP = Pretraining("labels_map", "proof/bev_map", ("train.steps=1000",), runs=RUNS)


def setting(backbone: float, head: float = 1e-2) -> Setting:
    """Learning rates of backbone and head."""
    rates = (f"train.learning_rate={backbone:g}", f"train.learning_rate_multipliers={{'head': {head / backbone:g}}}")
    return Setting(f"{backbone:g}", rates)


SELECTION = Selection((setting(1e-2), setting(2e-3)))
plan = Plan(
    methods=(
        Method("scratch", title="from scratch"),
        Method("labels_detection", {WHOLE: DETECTION}, "all boxes", role=Role.POSITIVE_CONTROL),
        Method("labels_map", {WHOLE: MAP}, "all maps", role=Role.POSITIVE_CONTROL),
        Method("prc", {"lidar": PRC}, "PRC"),
        Method("prc_permuted", {"lidar": Permuted(PRC)}, "PRC, permuted weights", role=Role.NEGATIVE_CONTROL),
    ),
    evaluations=(
        Evaluation("detection", "proof/bev_detection", fractions=(0.1,), selection=SELECTION, title="detection"),
        Evaluation("map", "proof/bev_map", fractions=(0.1,), selection=SELECTION, title="map segmentation"),
    ),
    seeds=(0, 1, 2, 3, 4),
    equal_budget=False,
    train_split="train",
    val_split="test",
    requires_controls=True,
)
BOTH = ("scratch", "prc", "prc_permuted")
stages = (
    PlanStage("20-detection", "Detection with 10 % of the boxes", 45, (*BOTH, "labels_detection"), ("detection",)),
    PlanStage("21-map", "Map segmentation with 10 % of the maps", 22, (*BOTH, "labels_map"), ("map",)),
)
