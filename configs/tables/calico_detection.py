"""CALICO's detection on nuScenes with 5, 10, 20 and 50 % of the labels.

pc-ssl reproduce calico_detection --root nuscenes --work-dir work_dirs/calico_detection
"""

from pc_ssl.experiments import Evaluation, Method, Plan, Pretraining
from pc_ssl.experiments.published_table import Part, Preparation, PublishedScore, PublishedTable

STEPS = 7750  # of 5 % of the labels, see _base_/nuscenes_bev_tasks.py: 20 epochs, whatever the share
PRC = Pretraining("prc", "prc_nuscenes_pillars")
RAD = Pretraining("rad", "rad_nuscenes_pillars", init={"teacher": PRC})
DISTILL = Pretraining("bev_distill", "bev_distill_nuscenes_pillars", init={"teacher": PRC})


def detection(sensors: str, config: str) -> tuple[Evaluation, ...]:
    return tuple(
        Evaluation(
            f"{sensors}-{percent}", config, fractions=(percent / 100,), title=f"{percent} %",
            overrides=(f"train.steps={STEPS * percent // 5}",),
        )
        for percent in (5, 10, 20, 50)
    )  # fmt: skip


def nds(method: str, evaluation: str, value: float) -> PublishedScore:
    return PublishedScore(method, evaluation, "nds", value)


def mean_ap(method: str, evaluation: str, value: float) -> PublishedScore:
    return PublishedScore(method, evaluation, "map", value)


TEN_SWEEPS = Preparation("ten-sweeps", "nuscenes", ("--version", "v1.0-trainval", "--sweeps", "10"))
table = PublishedTable(
    title="CALICO: detection with PointPillars and CenterPoint's head, LiDAR alone and with six cameras",
    source="Sun et al., ICLR 2024, arXiv 2306.00349, as its public reviews quote it",
    differences=(
        "projectors, negatives and temperature of PRC and RAD are reconstructed",
        "batches of 16 and 20 epochs of class-balanced frames in fine-tuning are ours",
        "rows of ProposalContrast and SimIPU are left out",
    ),
    parts=(
        Part(
            "lidar",
            TEN_SWEEPS,
            Plan(
                (Method("scratch"), Method("prc", {"lidar": PRC}, "PRC")),
                detection("lidar", "det_nuscenes_pillars_l"),
            ),
            (
                nds("scratch", "lidar-5", 37.4), mean_ap("scratch", "lidar-5", 33.1),
                nds("prc", "lidar-5", 46.0), nds("prc", "lidar-10", 53.1), nds("prc", "lidar-50", 62.1),
            ),
        ),
        Part(
            "lidar-camera",
            TEN_SWEEPS,
            Plan(
                (
                    Method("prc", {"lidar": PRC}, "PRC, random camera"),
                    Method("prc+bev_distill", {"lidar": PRC, "camera": DISTILL}, "PRC + BEVDistill"),
                    Method("calico", {"lidar": PRC, "camera": RAD}, "CALICO"),
                ),
                detection("lidar-camera", "det_nuscenes_pillars_lc"),
                equal_budget=False,
            ),
            (
                nds("prc", "lidar-camera-5", 46.1), mean_ap("prc", "lidar-camera-5", 40.2),
                nds("prc+bev_distill", "lidar-camera-5", 47.5),
                mean_ap("prc+bev_distill", "lidar-camera-5", 41.0),
                nds("prc+bev_distill", "lidar-camera-20", 59.2), nds("prc+bev_distill", "lidar-camera-50", 62.3),
                nds("calico", "lidar-camera-5", 47.9), mean_ap("calico", "lidar-camera-5", 41.7),
                nds("calico", "lidar-camera-20", 59.5), nds("calico", "lidar-camera-50", 62.7),
            ),
        ),
    ),
)  # fmt: skip
