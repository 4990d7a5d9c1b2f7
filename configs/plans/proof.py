"""What pretraining buys with few labels, with controls: `make proof` runs it in stages (benchmarks/proof.py).

Every start is fine-tuned with labelled subsets that are drawn anew for each seed and shared by all starts. Its learning
rates and steps are chosen on the validation streets, for each fraction, from one grid; the test streets are looked at
once. A method is one line of METHODS or IMAGE_METHODS; then name it in a stage.
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
SHUFFLED = "transforms=[{'type': 'pc_ssl.data.shuffled_regions.ShuffledRegions'}]"

# The ceiling: the same network, trained with all labels of the unlabelled streets.
LABELS = Pretraining("labels", "proof/segmentation", ("train.steps=1500",), runs=2)
PRC = Pretraining("prc", "proof/prc")
PRC_SHUFFLED = Pretraining("prc_shuffled", "proof/prc", (SHUFFLED,))

MAIN = (
    Method("scratch", title="from scratch"),
    Method("labels", {WHOLE: LABELS}, "all labels of the unlabelled streets", role=Role.POSITIVE_CONTROL),
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


GRID = tuple(setting(backbone, steps) for steps in (400,) for backbone in (1e-2, 3e-3, 1e-3))
plan = Plan(
    methods=(
        *MAIN,
        *(Method(name, {WHOLE: Pretraining(name, config)}, title) for name, (title, config) in METHODS.items()),
    ),
    evaluations=(
        Evaluation(
            "finetune", "proof/segmentation", fractions=(0.05, 0.25), selection=Selection(GRID), draw_labels=True,
            title="fine-tuning",
        ),
        Evaluation("probe", "proof/segmentation", Kind.PROBE, title="linear probe"),
    ),
    seeds=SEEDS,
    equal_budget=False,
    train_split="train",
    val_split="test",
    requires_controls=True,
)  # fmt: skip
CORE, CONTROL = ("scratch", "labels", "prc", "prc_permuted"), ("prc_shuffled",)
stages = (
    PlanStage("1-pretraining", "PRC, and training with all labels", 60, CORE),
    PlanStage("2-five-percent", "Fine-tuning with 5 % of the labels", 60, CORE, ("finetune",), (0.05,)),
    PlanStage("3-quarter", "Fine-tuning with 25 % of the labels", 60, CORE, ("finetune",), (0.25,)),
    PlanStage("4-shuffled", "PRC on shuffled regions", 60, CONTROL, ("finetune",)),
    PlanStage("5-probe", "Linear probes", 30, (*CORE, *CONTROL), ("probe",)),
)
