"""`make demo-bev`: CALICO's two stages for LiDAR and cameras, from nothing to boxes and maps, on a CPU.

1. simulate streets as a nuScenes data root             4. RAD: pretrain the camera branch, PRC's network the teacher
2. prepare them: regions, boxes, maps, images           5. fine-tune detection and map segmentation with few labels,
3. PRC: pretrain the LiDAR branch, for each seed           from scratch, from PRC alone, and from PRC and RAD
                                                        6. write records and report.html, and print the table
"""

from streets import Demo, Streets, main

from pc_ssl.experiments import Evaluation, Method, Plan, Pretraining

PRC = Pretraining("prc", "demo/bev_prc")
RAD = Pretraining("rad", "demo/bev_rad", init={"teacher": PRC})
DEMO = Demo(
    title="Camera and LiDAR pretraining on simulated streets",
    streets=Streets(simulate=("--scenes", "75", "--keyframes", "4", "--image-size", "320x180")),
    plan=Plan(
        methods=(
            Method("scratch", title="from scratch"),
            Method("prc", {"lidar": PRC}, title="PRC"),
            Method("calico", {"lidar": PRC, "camera": RAD}, title="PRC + RAD"),
        ),
        evaluations=(
            Evaluation("detection", "demo/bev_detection", fractions=(0.05,), title="detection"),
            Evaluation("map_segmentation", "demo/bev_map", fractions=(0.05,), title="map segmentation"),
        ),
        equal_budget=False,
    ),
)

if __name__ == "__main__":
    main(__doc__, "demo-bev", DEMO)
