"""`make demo`: what pretraining with point-region contrast buys, from nothing to numbers, on a CPU.

1. simulate streets as a nuScenes data root          4. fit linear probes to frozen networks: random, pretrained
2. prepare them: ground, regions, labels             5. fine-tune both with the smallest fraction of labels
3. pretrain, one network for each seed               6. write records and report.html, and print the table
"""

from streets import Demo, Streets, main

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Kind, Method, Plan, Pretraining

PRC = Pretraining("prc", "demo/prc")
DEMO = Demo(
    title="Point-region contrast on simulated streets",
    streets=Streets(simulate=("--scenes", "80", "--keyframes", "4", "--image-size", "240x135")),
    plan=Plan(
        methods=(Method("scratch", title="from scratch"), Method("prc", {WHOLE: PRC}, title="PRC")),
        evaluations=(
            Evaluation("probe", "demo/segmentation", Kind.PROBE),
            Evaluation("finetune", "demo/segmentation", fractions=(0.05,)),
        ),
        seeds=(0, 1, 2, 3),
    ),
)

if __name__ == "__main__":
    main(__doc__, "demo", DEMO)
