"""CLIP2Scene's table on nuScenes: 1 and 100 % of the labels, and no labels at all.

pc-ssl reproduce clip2scene --root nuscenes --work-dir work_dirs/clip2scene

Needs openai/clip-vit-base-patch16, as transformers saves it, in the folder clip-vit-base-patch16.
"""

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Kind, Method, Plan, Pretraining
from pc_ssl.experiments.published_table import Part, Preparation, PublishedScore, PublishedTable

STEPS = 1750  # of 1 % of the labels, see _base_/segmentation.py
TASK = "seg_nuscenes_unet"
# of the cache's sweeps, the keyframe alone
KEYFRAME = "[{'type': 'pc_ssl.data.drawn_sweeps.DrawnSweeps', 'count': 0}]"
ONE_SWEEP = (f"transforms={KEYFRAME}", f"evaluation_transforms={KEYFRAME}")
ELEVEN_SWEEPS = Preparation(
    "eleven-sweeps", "nuscenes", ("--version", "v1.0-trainval", "--sweeps", "11", "--regions", "slic")
)


def pretrained(name: str, title: str, overrides: tuple[str, ...] = ()) -> Method:
    """Pretrained on the 600 scenes of SLidR's split, as CLIP2Scene is."""
    return Method(name, {WHOLE: Pretraining(name, f"{name}_nuscenes_unet", overrides, split="parametrizing")}, title)


def scores(method: str, one_percent: float, all_labels: float) -> tuple[PublishedScore, ...]:
    return (
        PublishedScore(method, "labels-1", "miou", one_percent),
        PublishedScore(method, "labels-100", "miou", all_labels),
    )


table = PublishedTable(
    title="CLIP2Scene: segmentation on nuScenes",
    source="Chen et al., CVPR 2023, arXiv 2301.04926, Tables 1 and 2",
    differences=(
        "the published network is SPVCNN, here MinkUNet34",
        "AdamW instead of SGD; crops of 0.75 to 1 of the image",
    ),
    parts=(
        Part(
            "sweeps",
            ELEVEN_SWEEPS,
            Plan(
                (
                    Method("scratch"),
                    pretrained("point_contrast", "PointContrast", (f"transforms={KEYFRAME}",)),
                    pretrained("ppkt", "PPKT", (f"transforms={KEYFRAME}",)),
                    pretrained("slidr", "SLidR", (f"transforms={KEYFRAME}",)),
                    pretrained("clip2scene", "CLIP2Scene"),
                ),
                (
                    Evaluation("annotation-free", TASK, Kind.ANNOTATION_FREE, overrides=ONE_SWEEP, title="no labels"),
                    *(
                        Evaluation(
                            f"labels-{percent}", TASK, fractions=(percent / 100,), title=f"{percent} %",
                            overrides=(*ONE_SWEEP, f"train.steps={STEPS * percent}"),
                        )
                        for percent in (1, 100)
                    ),
                ),
                equal_budget=False,
            ),
            (
                *scores("scratch", 42.2, 69.1),
                *scores("point_contrast", 47.2, 69.2),
                *scores("ppkt", 48.0, 70.1),
                *scores("slidr", 48.2, 70.4),
                *scores("clip2scene", 56.3, 71.5),
                PublishedScore("clip2scene", "annotation-free", "miou", 20.80),
            ),
        ),
    ),
)  # fmt: skip
