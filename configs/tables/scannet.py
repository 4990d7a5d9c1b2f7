"""ScanNet's data-efficient benchmark, limited reconstructions: PointContrast and FAC on SparseUNet.

pc-ssl reproduce scannet --root scannet --label-lists limited-reconstruction-scenes --work-dir work_dirs/scannet

The folder of lists is that of ScanNet's download script, with scenes/1.txt, 5.txt, 10.txt and 20.txt.
"""

from pathlib import Path

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Kind, Method, Plan, Pretraining
from pc_ssl.experiments.published_table import Part, Preparation, PublishedScore, PublishedTable

STEPS = 2250  # of 5 % of the labels, see seg_scannet_unet.py: 300 epochs, whatever the share
TASK = "seg_scannet_unet"


def pretrained(name: str, title: str) -> Method:
    return Method(name, {WHOLE: Pretraining(name, f"{name}_scannet_unet")}, title)


table = PublishedTable(
    title="ScanNet, limited reconstructions: segmentation with SparseUNet",
    source="Sonata, CVPR 2025, Tables 3, 4 and 6 (rows of SparseUNet); no table of FAC is public in text",
    differences=(
        "pretraining takes two views of a room, where PointContrast takes pairs of overlapping RGB-D frames",
        "AdamW and its schedule; 300 epochs whatever the share of the labels",
        "FAC's losses are reconstructed from its abstract",
    ),
    parts=(
        Part(
            "rooms",
            Preparation("vccs", "scannet", ("--regions", "vccs")),
            Plan(
                (Method("scratch"), pretrained("point_contrast", "PointContrast"), pretrained("fac", "FAC")),
                (
                    Evaluation("probe", TASK, Kind.PROBE, title="probe"),
                    *(
                        Evaluation(
                            f"rooms-{percent}", TASK, label_scenes=Path(f"scenes/{percent}.txt"),
                            title=f"{percent} %", overrides=(f"train.steps={STEPS * percent // 5}",),
                        )
                        for percent in (1, 5, 10, 20)
                    ),
                    Evaluation("rooms-100", TASK, title="100 %", overrides=(f"train.steps={STEPS * 20}",)),
                ),
                equal_budget=False,
            ),
            (
                *(
                    PublishedScore("scratch", f"rooms-{percent}", "miou", value)
                    for percent, value in ((1, 26.0), (5, 47.8), (10, 56.7), (20, 62.9), (100, 72.2))
                ),
                PublishedScore("point_contrast", "probe", "miou", 5.6),
                PublishedScore("point_contrast", "rooms-100", "miou", 72.3),
            ),
        ),
    ),
)  # fmt: skip
