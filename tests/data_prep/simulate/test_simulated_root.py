"""The simulated root as read by the official devkit; the reference is the devkit's geometry and evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box, view_points
from PIL import Image
from pyquaternion import Quaternion

LIDARSEG_CATEGORIES = {"noise": 0, "vehicle.car": 17, "flat.driveable_surface": 24, "static.vegetation": 30}
EGO = 31
MASK_LAYERS = [
    "drivable_area", "road_segment", "road_block", "lane", "ped_crossing", "walkway", "stop_line", "carpark_area",
    "road_divider", "lane_divider",
]  # fmt: skip


@pytest.fixture(scope="module")
def kit(simulated_root: Path) -> NuScenes:
    return NuScenes("v1.0-mini", str(simulated_root), verbose=False)


def labels_of(kit: NuScenes, lidar_token: str) -> np.ndarray:
    return np.fromfile(Path(kit.dataroot) / kit.get("lidarseg", lidar_token)["filename"], np.uint8)


def points_of(kit: NuScenes, lidar_token: str) -> np.ndarray:
    return np.fromfile(kit.get_sample_data_path(lidar_token), np.float32).reshape(-1, 5)


def global_from_lidar(kit: NuScenes, lidar_token: str) -> np.ndarray:
    record = kit.get("sample_data", lidar_token)
    pose = np.eye(4)
    for table in ("calibrated_sensor", "ego_pose"):
        step = kit.get(table, record[f"{table}_token"])
        here = np.eye(4)
        here[:3, :3], here[:3, 3] = Quaternion(step["rotation"]).rotation_matrix, step["translation"]
        pose = here @ pose
    return pose


def test_devkit_loads_every_table_and_file(kit: NuScenes) -> None:
    assert (len(kit.scene), len(kit.sample), len(kit.sensor)) == (2, 6, 7)
    for record in kit.sample_data:
        path = Path(kit.get_sample_data_path(record["token"]))
        if record["channel"] == "LIDAR_TOP":
            assert path.stat().st_size == 1084 * 32 * 5 * 4
            assert LidarPointCloud.from_file(str(path)).points.shape == (4, 1084 * 32)
        else:
            assert Image.open(path).size == (160, 90) == (record["width"], record["height"])
    for sample in kit.sample:
        assert set(sample["data"]) == {record["channel"] for record in kit.sensor}
        assert sample["anns"]


def test_lidarseg_has_nuscenes_index_and_one_label_per_point(kit: NuScenes) -> None:
    assert len(kit.lidarseg_idx2name_mapping) == 32
    assert {kit.lidarseg_idx2name_mapping[k]: k for k in range(32)}.items() >= LIDARSEG_CATEGORIES.items()
    assert len(kit.lidarseg) == len(kit.sample)
    for record in kit.lidarseg:
        assert len(labels_of(kit, record["token"])) == 1084 * 32


def test_sweeps_are_linked_in_time(kit: NuScenes) -> None:
    for scene in kit.scene:
        first = kit.get("sample", scene["first_sample_token"])
        record, stamps, keys = kit.get("sample_data", first["data"]["LIDAR_TOP"]), [], []
        assert record["prev"] == ""
        while True:
            stamps.append(record["timestamp"])
            keys.append(record["is_key_frame"])
            if not record["next"]:
                break
            record = kit.get("sample_data", record["next"])
        assert keys == [True, False, False, True, False, False, True]
        assert np.diff(stamps).tolist() == [400_000, 50_000, 50_000] * 2


def test_ego_vehicle_moves_between_sweeps(kit: NuScenes) -> None:
    paths = []
    for scene in kit.scene:
        sample = kit.get("sample", scene["first_sample_token"])
        record, places = kit.get("sample_data", sample["data"]["LIDAR_TOP"]), []
        while True:
            places.append(kit.get("ego_pose", record["ego_pose_token"])["translation"])
            if not record["next"]:
                break
            record = kit.get("sample_data", record["next"])
        paths.append(np.linalg.norm(np.diff(places, axis=0), axis=1))
    assert max(path.sum() for path in paths) > 2.0
    assert all((path < 7.0).all() for path in paths)  # 400 ms at less than 60 km/h


def test_points_inside_boxes_carry_the_class_of_the_box(kit: NuScenes) -> None:
    """The only exceptions are ground points, neighbours of a rider and overlapping boxes."""
    right = total = 0
    for sample in kit.sample:
        token = sample["data"]["LIDAR_TOP"]
        _, boxes, _ = kit.get_sample_data(token)
        points, labels = points_of(kit, token), labels_of(kit, token)
        for box in boxes:
            box.wlh = box.wlh * np.array([1, 1, 0.8])  # without the ground
            inside = points_in_box(box, points[:, :3].T)
            right += (labels[inside] == kit.lidarseg_name2idx_mapping[box.name]).sum()
            total += inside.sum()
    assert total > 500
    assert right / total > 0.97


def test_points_of_boxed_classes_are_in_boxes(kit: NuScenes) -> None:
    right = total = 0
    for sample in kit.sample:
        token = sample["data"]["LIDAR_TOP"]
        _, boxes, _ = kit.get_sample_data(token)
        points, labels = points_of(kit, token), labels_of(kit, token)
        held = np.zeros(len(points), bool)
        for box in boxes:
            held |= points_in_box(box, points[:, :3].T, wlh_factor=1.05)
        boxed = (labels > 0) & (labels < 24)
        right, total = right + (held & boxed).sum(), total + boxed.sum()
    assert total > 500
    assert right / total > 0.95


def test_number_of_points_of_annotations_is_the_devkits(kit: NuScenes) -> None:
    sample = kit.sample[0]
    token = sample["data"]["LIDAR_TOP"]
    _, boxes, _ = kit.get_sample_data(token)
    points = points_of(kit, token)
    returned = points[labels_of(kit, token) != EGO]
    for box in boxes:
        count = points_in_box(box, returned[:, :3].T).sum()
        assert abs(count - kit.get("sample_annotation", box.token)["num_lidar_pts"]) <= 1  # float32 at the faces


@pytest.mark.parametrize("channel", ["CAM_FRONT", "CAM_BACK", "CAM_FRONT_LEFT", "CAM_BACK_RIGHT"])
def test_projected_points_of_an_object_fall_in_its_image_box(kit: NuScenes, channel: str) -> None:
    inside = total = 0
    for sample in kit.sample:
        lidar, camera = sample["data"]["LIDAR_TOP"], sample["data"][channel]
        points, labels = points_of(kit, lidar), labels_of(kit, lidar)
        world = global_from_lidar(kit, lidar)
        camera_from_lidar = np.linalg.inv(global_from_lidar(kit, camera)) @ world
        _, camera_boxes, intrinsic = kit.get_sample_data(camera)
        _, lidar_boxes, _ = kit.get_sample_data(lidar, selected_anntokens=[box.token for box in camera_boxes])
        for box, seen in zip(lidar_boxes, camera_boxes, strict=True):
            own = points_in_box(box, points[:, :3].T) & (labels == kit.lidarseg_name2idx_mapping[box.name])
            at = camera_from_lidar[:3, :3] @ points[own, :3].T + camera_from_lidar[:3, 3:]
            corners = seen.corners()
            if not own.any() or (corners[2] < 0.5).any() or (at[2] < 0.5).any():
                continue
            outline = view_points(corners, intrinsic, normalize=True)[:2]
            pixel = view_points(at, intrinsic, normalize=True)[:2]
            low, high = outline.min(1)[:, None] - 0.5, outline.max(1)[:, None] + 0.5
            inside += ((pixel > low) & (pixel < high)).all(0).sum()
            total += own.sum()
    assert total > 10
    assert inside >= 0.98 * total


def test_ground_labels_agree_with_the_map(kit: NuScenes) -> None:
    """LiDAR ground points are labelled as road exactly where the map has road."""
    agree = total = 0
    for sample in kit.sample:
        token = sample["data"]["LIDAR_TOP"]
        location = kit.get("log", kit.get("scene", sample["scene_token"])["log_token"])["location"]
        road_map = NuScenesMap(kit.dataroot, location)
        points, labels = points_of(kit, token), labels_of(kit, token)
        flat = np.isin(labels, [24, 26]) & (np.linalg.norm(points[:, :2], axis=1) < 20)
        pose = global_from_lidar(kit, token)
        place = points[flat, :3] @ pose[:3, :3].T + pose[:3, 3]
        for (x, y, _), label in list(zip(place, labels[flat], strict=True))[::200]:
            on_road = bool(road_map.layers_on_point(x, y, ["drivable_area"])["drivable_area"])
            agree += on_road == (label == 24)
            total += 1
    assert total > 50
    assert agree / total > 0.93  # yards are drivable but not part of the map; range noise blurs kerbs by 2 cm


def test_map_layers_are_complete_and_lanes_connect(kit: NuScenes) -> None:
    connected = 0
    for location in {log["location"] for log in kit.log}:
        road_map = NuScenesMap(kit.dataroot, location)
        for layer in ("drivable_area", "road_segment", "road_block", "lane", "walkway", "road_divider"):
            assert getattr(road_map, layer), layer
        center = np.array(road_map.node[0]["x"]), np.array(road_map.node[0]["y"])
        mask = road_map.get_map_mask((*center, 100.0, 100.0), 0.0, MASK_LAYERS, (200, 200))
        assert mask.shape == (len(MASK_LAYERS), 200, 200)
        for lane in road_map.lane:
            path = road_map.discretize_lanes([lane["token"]], 1.0)[lane["token"]]
            steps = np.linalg.norm(np.diff(np.array(path)[:, :2], axis=0), axis=1)
            assert (steps < 1.6).all()
            connected += len(road_map.get_outgoing_lane_ids(lane["token"]))
    assert connected > 0


def test_ego_vehicle_drives_on_the_drivable_area(kit: NuScenes) -> None:
    for sample in kit.sample:
        record = kit.get("sample_data", sample["data"]["LIDAR_TOP"])
        x, y, _ = kit.get("ego_pose", record["ego_pose_token"])["translation"]
        location = kit.get("log", kit.get("scene", sample["scene_token"])["log_token"])["location"]
        assert NuScenesMap(kit.dataroot, location).layers_on_point(x, y, ["drivable_area"])["drivable_area"]


def test_ground_truth_as_predictions_is_perfect_for_detection_eval(kit: NuScenes, tmp_path: Path) -> None:
    results: dict[str, list] = {}
    scenes = json.loads((Path(kit.dataroot) / "v1.0-mini" / "splits.json").read_text())["sim_val"]
    for sample in kit.sample:
        if kit.get("scene", sample["scene_token"])["name"] not in scenes:
            continue
        found = results.setdefault(sample["token"], [])
        for token in sample["anns"]:
            annotation = kit.get("sample_annotation", token)
            name = category_to_detection_name(annotation["category_name"])
            if name is None or not annotation["num_lidar_pts"]:  # the devkit ignores boxes without points
                continue
            attributes = [kit.get("attribute", a)["name"] for a in annotation["attribute_tokens"]]
            found.append(
                {
                    "sample_token": sample["token"],
                    "translation": annotation["translation"],
                    "size": annotation["size"],
                    "rotation": annotation["rotation"],
                    "velocity": np.nan_to_num(kit.box_velocity(token)[:2]).tolist(),
                    "detection_name": name,
                    "detection_score": 1.0,
                    "attribute_name": attributes[0] if attributes else "",
                }
            )
    meta = dict.fromkeys(("use_camera", "use_lidar", "use_radar", "use_map", "use_external"), False)
    (tmp_path / "results.json").write_text(json.dumps({"meta": meta, "results": results}))
    config = config_factory("detection_cvpr_2019")
    judge = DetectionEval(kit, config, str(tmp_path / "results.json"), "sim_val", str(tmp_path), verbose=False)
    metrics, _ = judge.evaluate()
    judged = {name for boxes in judge.gt_boxes.boxes.values() for name in (box.detection_name for box in boxes)}
    assert len(judged) >= 2
    for name in judged:
        assert metrics.get_label_tp(name, "trans_err") < 1e-6
        assert np.mean([metrics.get_label_ap(name, d) for d in config.dist_ths]) > 0.99


def test_static_points_and_boxes_do_not_move_after_ego_motion_compensation(kit: NuScenes) -> None:
    """Road points of one keyframe lie on the surface through those of the next; static boxes do not move."""
    for scene in kit.scene:
        first = kit.get("sample", scene["first_sample_token"])
        last = kit.get("sample", scene["last_sample_token"])
        clouds = []
        for sample in (first, last):
            token = sample["data"]["LIDAR_TOP"]
            points, labels = points_of(kit, token), labels_of(kit, token)
            pose = global_from_lidar(kit, token)
            wall = labels == 28
            clouds.append(points[wall, :3].astype(np.float64) @ pose[:3, :3].T + pose[:3, 3])
        if min(map(len, clouds)) > 200:
            gaps = np.array([np.linalg.norm(clouds[1] - point, axis=1).min() for point in clouds[0][::20]])
            assert np.median(gaps) < 0.4
    for instance in kit.instance:
        name = kit.get("category", instance["category_token"])["name"]
        if name.startswith("movable_object") and instance["nbr_annotations"] > 1:
            ends = [kit.get("sample_annotation", instance[f"{end}_annotation_token"]) for end in ("first", "last")]
            assert ends[0]["translation"] == ends[1]["translation"]
