"""What pretraining buys with few labels, with controls: `make proof` runs it in stages (benchmarks/proof.py).

Every start is fine-tuned with labelled subsets that are drawn anew for each seed and shared by all starts. Its learning
rate and steps are chosen on the validation streets, for each fraction, from one grid; the test streets are looked at
once. A further method is one line of METHODS, or of IMAGE_METHODS if images teach it: these pretrain on streets with
cameras, with an image network that learned on other streets. Name it in a stage, too.
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
POINTS = "task.supervision=points"  # what is scored; the config's loss is on voxels
SHUFFLED = "transforms=[{'type': 'pc_ssl.data.shuffled_regions.ShuffledRegions'}]"

# The ceiling: the same network, trained with all labels of the unlabelled streets.
LABELS = Pretraining("labels", "proof/segmentation", ("train.steps=1500", POINTS), runs=RUNS)
PRC = Pretraining("prc", "proof/prc", runs=RUNS)
PRC_SHUFFLED = Pretraining("prc_shuffled", "proof/prc", (SHUFFLED,), runs=RUNS)

CORE = (
    Method("scratch", title="from scratch"),
    Method("labels", {WHOLE: LABELS}, "all labels", role=Role.POSITIVE_CONTROL),
    Method("prc", {WHOLE: PRC}, "PRC"),
    Method("prc_permuted", {WHOLE: Permuted(PRC)}, "PRC, permuted weights", role=Role.NEGATIVE_CONTROL),
    Method("prc_shuffled", {WHOLE: PRC_SHUFFLED}, "PRC, shuffled regions", role=Role.NEGATIVE_CONTROL),
)
METHODS = {  # name -> title, config
    "fac": ("FAC", "proof/fac"),
    "point_contrast": ("PointContrast", "proof/point_contrast"),
    "seg_contrast": ("SegContrast", "proof/seg_contrast"),
    "bev_contrast": ("BEVContrast", "proof/bev_contrast"),
}
IMAGE_METHODS = {
    "slidr": ("SLidR", "proof/slidr", Role.METHOD),
    "slidr_random": ("SLidR, random image network", "proof/slidr_random", Role.NEGATIVE_CONTROL),
    "ppkt": ("PPKT", "proof/ppkt", Role.METHOD),
    "scalr": ("ScaLR", "proof/scalr", Role.METHOD),
    "clip2scene": ("CLIP2Scene", "proof/clip2scene", Role.METHOD),
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
        *(
            Method(name, {WHOLE: Pretraining(name, config, cache="images", runs=RUNS)}, title, role=role)
            for name, (title, config, role) in IMAGE_METHODS.items()
        ),
    ),
    evaluations=(
        Evaluation(
            "finetune",
            "proof/segmentation",
            fractions=(0.01, 0.05, 0.1, 0.25),
            overrides=("train.batch_size=2", POINTS),
            selection=Selection(GRID),
            draw_labels=True,
            title="fine-tuning",
        ),
        Evaluation(
            "brief",
            "proof/segmentation",
            fractions=(0.05,),
            overrides=("train.batch_size=2", POINTS),
            selection=Selection(tuple(setting(backbone, 400) for backbone in (1e-2, 2e-3))),
            draw_labels=True,
            title="fine-tuning for 400 steps",
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
MAIN, OTHERS, TAUGHT = (*ROOM, *PRC_AND_CONTROL), tuple(METHODS), tuple(IMAGE_METHODS)
stages = (
    PlanStage("01-room", "From scratch and after training with all labels, 5 %", 25, ROOM, ("finetune",), (0.05,)),
    PlanStage("02-prc", "PRC, and its permuted weights, 5 %", 28, PRC_AND_CONTROL, ("finetune",), (0.05,)),
    PlanStage("02-brief", "The same starts, 400 steps of fine-tuning, 5 %", 15, MAIN, ("brief",)),
    PlanStage("03-shuffled", "PRC on shuffled regions, 5 %", 16, SHUFFLE, ("finetune",), (0.05,)),
    PlanStage("04-room-25", "From scratch and after training with all labels, 25 %", 20, ROOM, ("finetune",), (0.25,)),
    PlanStage("05-prc-25", "PRC and its negative controls, 25 %", 30, MAIN[2:] + SHUFFLE, ("finetune",), (0.25,)),
    PlanStage("06-others", "FAC and PointContrast, 5 %", 32, OTHERS[:2], ("finetune",), (0.05,)),
    PlanStage("07-others", "SegContrast and BEVContrast, 5 %", 32, OTHERS[2:], ("finetune",), (0.05,)),
    PlanStage("08-others-25", "The same four methods, 25 %", 40, OTHERS, ("finetune",), (0.25,)),
    PlanStage(
        "09-probes", "Frozen backbones: linear and nearest-neighbour probes", 15, (*MAIN, *OTHERS), ("probe", "knn")
    ),
    PlanStage("10-ten-percent", "Scratch, PRC and the controls, 10 %", 38, MAIN, ("finetune",), (0.1,)),
    PlanStage("11-one-percent", "Scratch, PRC and the controls, 1 %", 38, MAIN, ("finetune",), (0.01,)),
    PlanStage("12-images", "SLidR, taught by two image networks, 5 %", 43, TAUGHT[:2], ("finetune",), (0.05,)),
    PlanStage("13-images", "PPKT, ScaLR and CLIP2Scene, 5 %", 50, TAUGHT[2:], ("finetune",), (0.05,)),
)
