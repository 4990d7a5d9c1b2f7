"""`make demo`: what pretraining buys, from nothing to numbers, on a CPU; a small cut of `make proof`.

1. simulate streets as a nuScenes data root          4. fit linear probes to the frozen networks
2. prepare them: ground, regions, labels             5. fine-tune all of them with 5 % of the labels
3. pretrain: PRC without labels, and, as a control,  6. write records and report.html, and print the tables
   the same network with all labels
"""

from streets import Demo, Streets, main

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Kind, Method, Plan, Pretraining, Role

PRC = Pretraining("prc", "proof/prc", ("train.steps=800",), runs=1)
LABELS = Pretraining("labels", "proof/segmentation", ("train.steps=500",), runs=1)
DEMO = Demo(
    title="What pretraining buys on simulated streets",
    streets=Streets(
        simulate=(
            *("--split", "train=130", "--split", "test=30", "--cameras", "none", "--beams", "32", "--columns", "300"),
            *("--keyframes", "3", "--keyframe-period", "1.5", "--reach", "60", "--rare-objects", "5", "--seed", "2"),
        )
    ),
    plan=Plan(
        methods=(
            Method("scratch", title="from scratch"),
            Method("prc", {WHOLE: PRC}, title="PRC"),
            Method("labels", {WHOLE: LABELS}, title="all labels", role=Role.POSITIVE_CONTROL),
        ),
        evaluations=(
            Evaluation("probe", "proof/segmentation", Kind.PROBE),
            Evaluation(
                "finetune",
                "proof/segmentation",
                fractions=(0.05,),
                overrides=("train.steps=300", "train.batch_size=2"),
                draw_labels=True,
            ),
        ),
        seeds=(0, 1, 2),
        train_split="train",
        val_split="test",
    ),
)

if __name__ == "__main__":
    main(__doc__, "demo", DEMO)
