"""What pretraining buys with few labels, with controls: `make proof` runs it in stages (benchmarks/proof.py).

Every start is fine-tuned with labelled subsets that are drawn anew for each seed and shared by all starts. Its learning
rate and steps are chosen on the validation streets, for each fraction, from one grid; the test streets are looked at
once. A further method is one line of METHODS; name it in a stage, too.
"""

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import (
    Evaluation,
    Kind,
    Method,
    Permuted,
    Plan,
    PlanStage,
    Pretraining,
    Role,
    Selection,
    Setting,
)

SEEDS = (0, 1, 2, 3, 4)
RUNS = 2  # pretrainings of each method: the five seeds start from them in turn
SHUFFLED = "transforms=[{'type': 'pc_ssl.data.shuffled_regions.ShuffledRegions'}]"

# The ceiling: the same network, trained with all labels of the unlabelled streets.
LABELS = Pretraining("labels", "proof/segmentation", ("train.steps=1500",), runs=RUNS)
PRC = Pretraining("prc", "proof/prc", runs=RUNS)
PRC_SHUFFLED = Pretraining("prc_shuffled", "proof/prc", (SHUFFLED,), runs=RUNS)

CORE = (
    Method("scratch", title="from scratch"),
    Method("labels", {WHOLE: LABELS}, "all labels", role=Role.POSITIVE_CONTROL),
    Method("prc", {WHOLE: PRC}, "PRC"),
    Method("prc_permuted", {WHOLE: Permuted(PRC)}, "PRC, permuted weights", role=Role.NEGATIVE_CONTROL),
    Method("prc_shuffled", {WHOLE: PRC_SHUFFLED}, "PRC, shuffled regions", role=Role.NEGATIVE_CONTROL),
)
METHODS: dict[str, tuple[str, str]] = {  # name -> title, config
}


def setting(backbone: float, steps: int, head: float = 1e-2) -> Setting:
    """Learning rates of backbone and head, and steps."""
    rates = (f"train.learning_rate={backbone:g}", f"train.learning_rate_multipliers={{'head': {head / backbone:g}}}")
    return Setting(f"{backbone:g}-{steps}", (*rates, f"train.steps={steps}"))


GRID = tuple(setting(backbone, steps) for backbone in (1e-2, 2e-3) for steps in (400, 1200))
plan = Plan(
    methods=(
        *CORE,
        *(
            Method(name, {WHOLE: Pretraining(name, config, runs=RUNS)}, title)
            for name, (title, config) in METHODS.items()
        ),
    ),
    evaluations=(
        Evaluation(
            "finetune",
            "proof/segmentation",
            fractions=(0.01, 0.05, 0.1, 0.25, 1.0),
            overrides=("train.batch_size=2",),
            selection=Selection(GRID),
            draw_labels=True,
            title="fine-tuning",
        ),
        Evaluation("probe", "proof/segmentation", Kind.PROBE, title="linear probe"),
        Evaluation("knn", "proof/segmentation", Kind.PROBE, title="nearest neighbours", protocol="knn"),
    ),
    seeds=SEEDS,
    equal_budget=False,
    train_split="train",
    val_split="test",
    requires_controls=True,
)
ROOM, PRC_AND_CONTROL, SHUFFLE = ("scratch", "labels"), ("prc", "prc_permuted"), ("prc_shuffled",)
ALL = (*ROOM, *PRC_AND_CONTROL, *SHUFFLE)
stages = (
    PlanStage("01-room", "From scratch and after training with all labels, 5 %", 45, ROOM, ("finetune",), (0.05,)),
    PlanStage("02-prc", "PRC, and its permuted weights, 5 %", 60, PRC_AND_CONTROL, ("finetune",), (0.05,)),
    PlanStage("03-shuffled", "PRC on shuffled regions, 5 %", 40, SHUFFLE, ("finetune",), (0.05,)),
    PlanStage("04-room-25", "From scratch and after training with all labels, 25 %", 30, ROOM, ("finetune",), (0.25,)),
    PlanStage("05-prc-25", "PRC and its negative controls, 25 %", 45, ALL[2:], ("finetune",), (0.25,)),
    PlanStage("06-probes", "Frozen backbones: linear and nearest-neighbour probes", 30, ALL, ("probe", "knn")),
    PlanStage("07-one-percent", "All of these, 1 %", 50, ALL, ("finetune",), (0.01,)),
    PlanStage("08-ten-percent", "All of these, 10 %", 60, ALL, ("finetune",), (0.1,)),
    PlanStage("09-all-labels", "All of these, 100 %", 55, ALL, ("finetune",), (1.0,)),
)
