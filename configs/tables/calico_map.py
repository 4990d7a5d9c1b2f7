"""CALICO's BEV map segmentation on nuScenes with 5 and 50 % of the labels; differences alone are published.

pc-ssl reproduce calico_map --root nuscenes --work-dir work_dirs/calico_map
"""

from pc_ssl.experiments import Evaluation, Method, Plan, Pretraining
from pc_ssl.experiments.published_table import Part, Preparation, PublishedScore, PublishedTable

STEPS = 7750  # of 5 % of the labels, see _base_/nuscenes_bev_tasks.py
PRC = Pretraining("prc", "prc_nuscenes_second")
RAD = Pretraining("rad", "rad_nuscenes_second", init={"teacher": PRC})
DISTILL = Pretraining("bev_distill", "bev_distill_nuscenes_second", init={"teacher": PRC})

table = PublishedTable(
    title="CALICO: BEV map segmentation with LiDAR and six cameras",
    source="Sun et al., ICLR 2024, arXiv 2306.00349, as its public reviews quote it",
    differences=(
        "projectors, negatives and temperature of PRC and RAD are reconstructed",
        "the published network is PointPillars or VoxelNet, the reviews do not say which; here VoxelNet/SECOND",
    ),
    parts=(
        Part(
            "lidar-camera",
            Preparation("ten-sweeps", "nuscenes", ("--version", "v1.0-trainval", "--sweeps", "10")),
            Plan(
                (
                    Method("scratch"),
                    Method("prc+bev_distill", {"lidar": PRC, "camera": DISTILL}, "PRC + BEVDistill"),
                    Method("calico", {"lidar": PRC, "camera": RAD}, "CALICO"),
                ),
                tuple(
                    Evaluation(
                        f"map-{percent}", "map_nuscenes_lc", fractions=(percent / 100,), title=f"{percent} %",
                        overrides=(f"train.steps={STEPS * percent // 5}",),
                    )
                    for percent in (5, 10, 20, 50)
                ),
                equal_budget=False,
            ),
            (
                PublishedScore("calico", "map-5", "miou", 5.7, against="scratch"),
                PublishedScore("calico", "map-5", "miou", 1.1, against="prc+bev_distill"),
                PublishedScore("calico", "map-50", "miou", 0.3, against="prc+bev_distill"),
            ),
        ),
    ),
)  # fmt: skip
