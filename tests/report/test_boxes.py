"""Pictures of boxes and maps: their geometry against the devkit's, and the pages that hold them."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from nuscenes.utils.data_classes import Box
from PIL import Image
from pyquaternion import Quaternion

from data_prep.cache_folder import CacheFolder
from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.simulate.nuscenes import SimulateOptions, simulate_nuscenes
from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import finetune
from pc_ssl.engine.labels import Labels
from pc_ssl.report.boxes import DrawnBoxes, box_corners, boxes_from_above, boxes_on_image
from pc_ssl.report.page import report
from pc_ssl.report.pictures import png

CONFIG = """
from pc_ssl.engine.options import TrainOptions
from pc_ssl.geometry import BevGrid
from pc_ssl.heads.bev_map import BevMapHead, MapTask
from pc_ssl.heads.center_point import CenterPointHead
from pc_ssl.heads.detection import DetectionTask
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.models.lidar import SECOND
from pc_ssl.views.sensors import SensorViews

_backbone = dict(
    type=BevEncoder,
    lidar=dict(
        type=SECOND, grid=dict(type=BevGrid, lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0),
        voxel_size=(0.8, 0.8, 1.0)), stage_channels=(8, 16), stage_blocks=(1, 1), neck_channels=(8, 8),
        neck_layers=(1, 1), upsampled_channels=8,
    ),
)
train = dict(type=TrainOptions, steps=2, batch_size=1, learning_rate=1e-3, num_workers=0, log_every=1)
"""
BOXES = """
task = dict(type=DetectionTask, backbone=_backbone, head=dict(type=CenterPointHead, in_channels=16, shared_channels=8),
            views=dict(type=SensorViews, boxes=True))
"""
MAP = """
task = dict(type=MapTask, backbone=_backbone, head=dict(type=BevMapHead, in_channels=16),
            views=dict(type=SensorViews, bev_map=True))
"""
LEFT, AHEAD = [0.0, 8.0, 0.0, 4.0, 2.0, 1.5, 0.4, 3.0, 0.0], [9.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    folder = tmp_path_factory.mktemp("boxes")
    simulate_nuscenes(folder / "root", SimulateOptions(scenes=2, keyframes=1, seed=3, image_size=(48, 27), beams=8))
    prepare(NuScenesReader(folder / "root", "v1.0-mini"), choose_stages(regions=()), CacheFolder(folder / "cache"))
    return Cache(folder / "cache")


def test_corners_are_the_devkits() -> None:
    box = np.array([[3, -2, 1, 4, 2, 1.5, 0.7, 0, 0]], np.float32)
    expected = Box([3, -2, 1], [2, 4, 1.5], Quaternion(axis=[0, 0, 1], angle=0.7)).corners().T
    found = box_corners(box)[0]
    assert sorted(map(tuple, found.round(4))) == sorted(map(tuple, expected.round(4)))
    front = box[0, :2] + 2 * np.array([np.cos(0.7), np.sin(0.7)])
    assert found[[0, 1, 4, 5], :2].mean(axis=0) == pytest.approx(front, abs=1e-5)


def test_boxes_in_front_of_the_camera_alone_are_drawn_on_its_image() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 48), (120, 150, 180)).save(buffer, format="PNG")
    camera = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])  # looks at +x
    intrinsic = np.array([[40.0, 0, 40], [0, 40, 24], [0, 0, 1]])
    behind = [-9.0, *AHEAD[1:]]
    around = [0.0, *AHEAD[1:]]  # the camera is inside it: cut at its plane
    boxes = DrawnBoxes(np.array([AHEAD, LEFT, behind, around], np.float32), np.array([0, 1, 1, 0]))
    figure = boxes_on_image(buffer.getvalue(), intrinsic, camera, {"boxes": boxes}, ["car", "bus"])
    (axes,) = figure.axes
    assert axes.get_title() == "boxes: 2"
    ahead = np.concatenate([line.get_xydata() for line in axes.lines[:14]])
    assert ahead.min(axis=0) == pytest.approx([40 - 40 / 7, 24 - 40 * 0.75 / 7])
    assert ahead.max(axis=0) == pytest.approx([40 + 40 / 7, 24 + 40 * 0.75 / 7])
    assert np.isfinite(np.concatenate([line.get_xydata() for line in axes.lines])).all()


def test_faint_boxes_are_uncertain_and_speed_is_drawn() -> None:
    box = np.array([AHEAD, LEFT], np.float32)
    panels = {"a": DrawnBoxes(box, np.array([0, 1]), np.array([1.0, 0.25], np.float32))}
    figure = boxes_from_above(np.zeros((5, 3)), panels, ["car", "bus"])
    outlines = figure.axes[0].lines
    assert [line.get_alpha() for line in outlines[:2]] == pytest.approx([1.0, 0.4])
    assert outlines[2].get_xydata().tolist() == [[0, 8], [3, 8]]
    assert png(figure) == png(boxes_from_above(np.zeros((5, 3)), panels, ["car", "bus"]))


@pytest.mark.parametrize(("task", "heading", "pictures"), [(BOXES, "Boxes", 4), (MAP, "Map", 2)], ids=["boxes", "map"])
def test_the_page_of_a_run_shows_scores_and_pictures(
    task: str, heading: str, pictures: int, cache: Cache, tmp_path: Path
) -> None:
    (tmp_path / "task.py").write_text(CONFIG + task)
    labels = Labels(train_split="sim_train", val_split="sim_val")
    run = finetune(load_config(tmp_path / "task.py"), cache, tmp_path / "run", labels=labels, device="cpu")
    text = report(tmp_path / "run").read_text()
    assert run.result.headline in text
    assert re.search(rf"<h2[^>]*>{heading}</h2>", text)
    assert text.count("data:image/png") == pictures
    assert "No pictures of the network" not in text
