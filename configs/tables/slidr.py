"""SLidR's protocol on nuScenes: linear probe, and fine-tuning with 1 to 100 % of the labels.

pc-ssl reproduce slidr --root nuscenes --work-dir work_dirs/slidr
"""

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Evaluation, Kind, Method, Plan, Pretraining
from pc_ssl.experiments.published_table import Part, Preparation, PublishedScore, PublishedTable

STEPS = 1750  # of 1 % of the labels, see _base_/segmentation.py: 100 epochs, whatever the share
TASK = "seg_nuscenes_unet"


def pretrained(name: str, title: str) -> Method:
    """Pretrained on the 600 scenes that SLidR pretrains on."""
    return Method(name, {WHOLE: Pretraining(name, f"{name}_nuscenes_unet", split="parametrizing")}, title)


def row(method: str, *scores: float | None) -> tuple[PublishedScore, ...]:
    """Linear probe, 1, 5, 10, 25 and 100 %; None: not published."""
    names = ("probe", "labels-1", "labels-5", "labels-10", "labels-25", "labels-100")
    return tuple(
        PublishedScore(method, name, "miou", value)
        for name, value in zip(names, scores, strict=True)
        if value is not None
    )


table = PublishedTable(
    title="SLidR's protocol: segmentation with MinkUNet34",
    source=(
        'Table 7 of the survey "Forging Spatial Intelligence", and the READMEs of Seal, SuperFlow and LiMoE, which '
        "agree with it"
    ),
    differences=(
        "cartesian voxels of 0.1 m, where SLidR's are cylindrical",
        "AdamW at 1e-3 in fine-tuning, where SLidR has SGD at 0.02; batches and learning rates of pretraining",
        "PointContrast's and BEVContrast's published rows are from other training settings",
    ),
    parts=(
        Part(
            "keyframes",
            Preparation("slic", "nuscenes", ("--version", "v1.0-trainval", "--regions", "slic")),
            Plan(
                (
                    Method("scratch"),
                    pretrained("point_contrast", "PointContrast"),
                    pretrained("bev_contrast", "BEVContrast"),
                    pretrained("ppkt", "PPKT"),
                    pretrained("slidr", "SLidR"),
                ),
                (
                    Evaluation(
                        "probe", TASK, Kind.PROBE, title="probe", protocol="slidr",
                        overrides=(f"train.steps={STEPS * 100}",),
                    ),
                    *(
                        Evaluation(
                            f"labels-{percent}", TASK, fractions=(percent / 100,), title=f"{percent} %",
                            overrides=(f"train.steps={STEPS * percent}",),
                        )
                        for percent in (1, 5, 10, 25, 100)
                    ),
                ),
                equal_budget=False,
            ),
            (
                *row("scratch", 8.10, 30.30, 47.84, 56.15, 65.48, 74.66),
                *row("point_contrast", 21.90, 32.50, None, None, None, None),
                *row("bev_contrast", None, 38.30, None, 59.60, None, 72.30),
                *row("ppkt", 35.90, 37.80, 53.74, 60.25, 67.14, 74.52),
                *row("slidr", 38.80, 38.30, 52.49, 59.84, 66.91, 74.79),
            ),
        ),
    ),
)  # fmt: skip
