"""Whether boxes that were trained on are found again, by nuScenes' own evaluation: points and images in, mAP out.

    python benchmarks/overfit_detection.py --cache streets keyframe --json work_dirs/bench/overfit_detection.json

The first frame of each cache is learned by heart, without augmentation, by CenterPoint and TransFusion on LiDAR, on
cameras and on both, as `pc-ssl finetune` trains, and evaluated as it evaluates. Boxes with fewer than five points are
taken out of the frame beforehand: too little of them is there to be seen. Those out of the range in which nuScenes
judges their class are learned and do not count; a class without boxes counts as nothing. LiDAR is to find 90 % of the
rest, alone or with cameras; cameras alone half of it.

TransFusion keeps its dropout: without it a box is at times learned, for good, by the query of a neighbour of another
class, whose class the prediction then gets.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from pc_ssl.data.cache import Cache, encode_frame, write_frame, write_manifest
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.engine.batches import evaluation_batches
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.tasks import TASK_KINDS
from pc_ssl.engine.train import train
from pc_ssl.errors import UserError
from pc_ssl.evaluation.detection_result import DetectionResult
from pc_ssl.files import write_json
from pc_ssl.geometry import BevGrid
from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.heads.transfusion import TransFusionHead
from pc_ssl.models.camera import DepthBins, LiftSplat, RandomResNet
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.sensors import SensorViews

LOWER, UPPER = (-51.2, -51.2, -5.0), (51.2, 51.2, 3.0)
VOXEL_M, CELL_M = (0.2, 0.2, 0.4), (0.8, 0.8, 8.0)
IMAGE = (352, 192)  # width, height
SEEN = 5  # points in a box that can be seen
SENSORS, HEADS = ("lidar", "camera", "fused"), ("center_point", "transfusion")
WANTED = {"lidar": 0.9, "camera": 0.5, "fused": 0.9}  # mean average precision
STEPS = {"center_point": 150, "transfusion": 250}
LEARNING_RATE = {"center_point": 5e-3, "transfusion": 2e-3}


@dataclass(frozen=True)
class Outcome:
    """One network on one frame.

    Args:
        data: name of the cache.
        sensors: of SENSORS.
        head: of HEADS.
        map: mean average precision over the classes with boxes that count.
        nds: over what is annotated.
        boxes: those that count.
        seconds: of training and evaluation.
    """

    data: str
    sensors: str
    head: str
    map: float
    nds: float
    boxes: int
    seconds: float

    @property
    def reached(self) -> bool:
        return self.map >= WANTED[self.sensors]

    def __str__(self) -> str:
        score = f"mAP {100 * self.map:5.1f} %  NDS {100 * self.nds:5.1f} %  {self.boxes:3} boxes  {self.seconds:4.0f} s"
        return f"{self.data:10}  {self.sensors:6}  {self.head:12}  {score}{'' if self.reached else '  too little'}"


def encoder(sensors: str) -> BevEncoder:
    """A small BEV encoder on one of SENSORS, with maps of 128 x 128 cells of 0.8 m."""
    lidar = camera = fuser = None
    if sensors != "camera":
        lidar = SECOND(BevGrid(LOWER, UPPER, VOXEL_M), stage_channels=(16, 32, 32), stage_blocks=(1, 1, 1),
                       neck_channels=(32, 64), neck_layers=(2, 2), upsampled_channels=32)  # fmt: skip
    if sensors != "lidar":
        image = RandomResNet((16, 32, 64), (1, 1, 1), stem_channels=16, bottleneck=False, stages=(2, 3))
        camera = LiftSplat(image, BevGrid(LOWER, UPPER, CELL_M), DepthBins(1.0, 56.0, 1.0), neck_channels=32,
                           lifted_channels=24, encoder_channels=(32, 64), encoder_layers=(2, 2),
                           upsampled_channels=32)  # fmt: skip
    if lidar is not None and camera is not None:
        fuser = ConvFuser(64, 64, 64)
    return BevEncoder(lidar, camera, fuser)


def detector(cache: Cache, sensors: str, head: str) -> DetectionTask:
    """An untrained task for images of the size that the cache's first frame has."""
    torch.manual_seed(0)
    found = (
        CenterPointHead(64, shared_channels=32)
        if head == "center_point"
        else TransFusionHead(64, channels=64, attention_heads=4, hidden_channels=128)
    )
    images = None
    if sensors != "lidar":
        scene = CacheScenes(cache, [0], None, SensorViews(images=ImageAugmentation())).scene(0)
        factor = IMAGE[0] / scene.cameras[0].image.shape[2]
        images = ImageAugmentation(*IMAGE, resize=(factor, factor), rotation=0.0, flip=0.0)
    return DetectionTask(encoder(sensors), found, SensorViews(images=images, boxes=True))


def seen(cache: Cache, folder: Path) -> Cache:
    """A cache of the first frame, with those boxes alone that have at least SEEN points."""
    frame = cache[0]
    kept = (frame["box_points"] >= SEEN).numpy()
    tensors = {key: frame[key].numpy() for key in frame.keys()}  # noqa: SIM118
    tensors |= {key: value[kept] for key, value in tensors.items() if key.startswith("box")}
    entry = write_frame(folder, "seen", "seen-0", 0, encode_frame(tensors))
    write_manifest(folder, replace(cache.manifest, frames=[entry], splits={"train": ["seen"]}))
    return Cache(folder)


def overfit(cache: Cache, sensors: str, head: str) -> Outcome:
    """Train on the first frame of the cache, and evaluate on it."""
    start = time.monotonic()
    options = TrainOptions(STEPS[head], 1, LEARNING_RATE[head], num_workers=0)
    with tempfile.TemporaryDirectory() as folder:
        frame = seen(cache, Path(folder) / "seen")
        task = detector(frame, sensors, head)
        train(task, CacheScenes(frame, [0], None, task.views), options, Path(folder) / "train", device="cpu")
        batches = evaluation_batches(task, frame, [0], torch.device("cpu"))
        result = TASK_KINDS[DetectionTask].evaluate(task.eval(), frame, batches, None)
    assert isinstance(result, DetectionResult)
    own, boxes = result.annotated, sum(of.boxes for of in result.classes)
    seconds = time.monotonic() - start
    return Outcome(cache.path.name, sensors, head, own.mean_average_precision, own.nds, boxes, seconds)


def main() -> None:
    """Train, evaluate, print a table; exit code 1 if a network finds less than it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, nargs="+", required=True, help="prepared nuScenes frames with images")
    parser.add_argument("--sensors", nargs="+", choices=SENSORS, default=SENSORS)
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS)
    parser.add_argument("--quick", action="store_true", help="CenterPoint on LiDAR alone")
    parser.add_argument("--json", type=Path, help="where to write the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = [(sensors, head) for sensors in arguments.sensors for head in arguments.heads]
    if arguments.quick:
        cases = [("lidar", "center_point")]
    outcomes = []
    try:
        for path, case in itertools.product(arguments.cache, cases):
            outcomes.append(overfit(Cache(path), *case))
            print(outcomes[-1], flush=True)
    except UserError as error:
        sys.exit(f"error: {error}")
    if arguments.json is not None:
        write_json(arguments.json, {"wanted": WANTED, "outcomes": [asdict(outcome) for outcome in outcomes]})
    sys.exit(int(not all(outcome.reached for outcome in outcomes)))


if __name__ == "__main__":
    main()
