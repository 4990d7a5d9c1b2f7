"""Whether the parts of PRC have the sign that CALICO reports: its two losses together against either alone.

A stage of `make proof`; streets, labelled subsets and protocol are those of plans/proof.py. The first method is what
the others are compared with.
"""

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Method, Plan, PlanStage, Pretraining, Selection, Setting

RUNS = 2  # pretrainings of each method: the five seeds start from them in turn
RATES = ("train.learning_rate=0.002", "train.learning_rate_multipliers={'head': 5}")
plan = Plan(
    methods=(
        Method("prc", {WHOLE: Pretraining("prc", "proof/prc", runs=RUNS)}, "PRC"),
        Method("plrc", {WHOLE: Pretraining("plrc", "proof/prc", ("method.alpha=1.0",), runs=RUNS)}, "PLRC alone"),
        Method("rapc", {WHOLE: Pretraining("rapc", "proof/prc", ("method.alpha=0.0",), runs=RUNS)}, "RAPC alone"),
    ),
    evaluations=(
        Evaluation(
            "signs",
            "proof/segmentation",
            fractions=(0.05,),
            overrides=("train.batch_size=2", "task.supervision=points"),
            selection=Selection(
                (
                    Setting("0.01-400", ("train.learning_rate=0.01", "train.steps=400")),
                    Setting("0.002-400", (*RATES, "train.steps=400")),
                )
            ),
            draw_labels=True,
            title="fine-tuning",
        ),
    ),
    seeds=(0, 1, 2, 3, 4),
    train_split="train",
    val_split="test",
)
stages = (PlanStage("40-signs", "PLRC with RAPC against either alone, 5 %", 26, ("prc", "plrc", "rapc"), ("signs",)),)
