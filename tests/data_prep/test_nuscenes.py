import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.eval.lidarseg.utils import LidarsegClassMapper
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.color_map import get_colormap
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.splits import create_splits_scenes

from data_prep.nuscenes import NuScenesReader
from data_prep.nuscenes_classes import WITHOUT_CLASS, ClassNames
from data_prep.nuscenes_names import ATTRIBUTES, BOX_CLASSES, LABEL_CLASSES, VERIFYING_SCENES
from data_prep.point_files.layout import PointLayout
from data_prep.reader import RawFrame
from data_prep.stages import MergeStage
from pc_ssl.errors import UsageError, UserError

VERSION = "v1.0-mini"
Edit = Callable[[str, Callable[[list], Any]], None]


def read(root: Path, index: int = -1, sweeps: int = 1) -> RawFrame:
    reader = NuScenesReader(root, VERSION, sweeps)
    return reader.source(reader.frames(None)[index]).read()


def merged(root: Path, index: int = -1, sweeps: int = 1) -> tuple[RawFrame, int]:
    """The frame with merged sweeps, and the number of points of its key sweep."""
    raw = read(root, index, sweeps)
    return MergeStage()(raw), len(raw.points)


@pytest.fixture(scope="module")
def devkit(pristine_root: Path) -> NuScenes:
    return NuScenes(VERSION, str(pristine_root), verbose=False)


@pytest.mark.parametrize("sweeps", [1, 2, 5])
def test_merged_sweeps_equal_the_devkits(pristine_root: Path, devkit: NuScenes, sweeps: int) -> None:
    raw, key_points = merged(pristine_root, sweeps=sweeps)
    expected, lags = LidarPointCloud.from_file_multisweep(
        devkit, devkit.sample[-1], "LIDAR_TOP", "LIDAR_TOP", nsweeps=sweeps, min_distance=1.0
    )
    np.testing.assert_allclose(raw.points[:, :3], expected.points[:3].T, atol=1e-4)
    np.testing.assert_array_equal(raw.points[:, 3], expected.points[3] / np.float32(255))
    assert raw.points.shape[1] == (4 if sweeps == 1 else 5)
    if sweeps > 1:
        np.testing.assert_allclose(raw.points[:, 4], lags[0], atol=1e-6)
    assert (lags[0] == 0).sum() == key_points


def test_a_scenes_first_frame_has_no_earlier_sweeps(pristine_root: Path) -> None:
    raw, key_points = merged(pristine_root, index=0, sweeps=5)
    assert raw.points.shape == (key_points, 5)
    assert not raw.points[:, 4].any()


def test_key_sweep_has_the_values_of_the_file_without_returns_of_the_vehicle(pristine_root: Path) -> None:
    raw = read(pristine_root)
    file = sorted((pristine_root / "samples" / "LIDAR_TOP").iterdir())[-1]
    recorded = np.fromfile(file, np.float32).reshape(-1, 5)
    near = (np.abs(recorded[:, 0]) < 1) & (np.abs(recorded[:, 1]) < 1)
    assert near.sum() >= 30
    np.testing.assert_array_equal(raw.points[:, :3], recorded[~near, :3])


def test_boxes_equal_the_devkits_in_the_lidar_frame(pristine_root: Path, devkit: NuScenes) -> None:
    raw = read(pristine_root)
    assert raw.box is not None
    assert raw.box_class is not None
    sample = devkit.sample[-1]
    _, boxes, _ = devkit.get_sample_data(sample["data"]["LIDAR_TOP"])
    for row, label, box, token in zip(raw.box, raw.box_class, boxes, sample["anns"], strict=True):
        box.velocity = devkit.box_velocity(token)
        lidar = devkit.get("sample_data", sample["data"]["LIDAR_TOP"])
        for table in ("ego_pose", "calibrated_sensor"):
            box.velocity = rotation_of(devkit.get(table, lidar[f"{table}_token"])).T @ box.velocity
        width, length, height = box.wlh
        np.testing.assert_allclose(row[:3], box.center, atol=1e-3)
        np.testing.assert_allclose(row[3:6], [length, width, height], rtol=1e-6)
        np.testing.assert_allclose(row[6], box.orientation.yaw_pitch_roll[0], atol=1e-6)
        np.testing.assert_allclose(row[7:], box.velocity[:2], atol=1e-4)
        assert BOX_CLASSES[label] == (category_to_detection_name(box.name) or "other")
    assert set(raw.box_class) == {BOX_CLASSES.index("car"), BOX_CLASSES.index("other")}


def test_the_recorded_boxes_are_kept_to_the_last_digit(pristine_root: Path, devkit: NuScenes) -> None:
    raw = read(pristine_root)
    assert raw.box_global is not None
    for row, token in zip(raw.box_global.tolist(), devkit.sample[-1]["anns"], strict=True):
        record, velocity = devkit.get("sample_annotation", token), devkit.box_velocity(token)
        assert row == [*record["translation"], *record["size"], *record["rotation"], *velocity[:2]]


def rotation_of(record: dict) -> np.ndarray:
    from pyquaternion import Quaternion

    return Quaternion(record["rotation"]).rotation_matrix


def test_a_box_seen_once_has_an_unknown_velocity(root: Path, edit_table: Edit) -> None:
    edit_table("sample_annotation", lambda records: [record.update(prev="", next="") for record in records])
    raw = read(root)
    assert raw.box is not None
    assert np.isnan(raw.box[:, 7:]).all()
    assert np.isfinite(raw.box[:, :7]).all()


def test_labels_equal_the_devkits_challenge_classes(pristine_root: Path, devkit: NuScenes) -> None:
    raw, key_points = merged(pristine_root, sweeps=3)
    lidar = devkit.get("sample_data", devkit.sample[-1]["data"]["LIDAR_TOP"])
    label = np.fromfile(pristine_root / devkit.get("lidarseg", lidar_label(devkit, lidar))["filename"], np.uint8)
    points = np.fromfile(pristine_root / lidar["filename"], np.float32).reshape(-1, 5)
    kept = (np.abs(points[:, 0]) >= 1) | (np.abs(points[:, 1]) >= 1)
    expected = LidarsegClassMapper(devkit).convert_label(label)[kept]
    assert raw.label is not None
    np.testing.assert_array_equal(raw.label[:key_points], expected)
    assert not raw.label[key_points:].any()


def lidar_label(devkit: NuScenes, lidar: dict) -> str:
    return next(record["token"] for record in devkit.lidarseg if record["sample_data_token"] == lidar["token"])


def write_panoptic(root: Path, change: Callable[[np.ndarray], Any] = lambda values: values) -> list[np.ndarray]:
    """nuScenes-panoptic for every keyframe: 1000 * category + instance; the values of each file."""
    recordings = json.loads((root / VERSION / "sample_data.json").read_text())
    rng, records, written = np.random.default_rng(0), [], []
    folder = f"panoptic/{VERSION}"
    (root / folder).mkdir(parents=True)
    for recording in recordings:
        if recording["is_key_frame"] and recording["fileformat"] == "pcd":
            points = (root / recording["filename"]).stat().st_size // 20
            values = (1000 * rng.integers(0, 32, points) + rng.integers(0, 4, points)).astype(np.uint16)
            filename = f"{folder}/{recording['token']}_panoptic.npz"
            np.savez_compressed(root / filename, data=change(values))
            token = recording["token"]
            records.append({"token": token, "sample_data_token": token, "filename": filename})
            written.append(values)
    (root / VERSION / "panoptic.json").write_text(json.dumps(records))
    return written


@pytest.mark.parametrize("has_lidarseg", [True, False])
def test_instances_and_classes_of_panoptic_files(root: Path, has_lidarseg: bool) -> None:
    values = write_panoptic(root)[-1]
    if not has_lidarseg:
        (root / VERSION / "lidarseg.json").unlink()
    raw, key_points = merged(root, sweeps=3)
    points = np.fromfile(last(root, "samples/LIDAR_TOP"), np.float32).reshape(-1, 5)
    kept = (np.abs(points[:, 0]) >= 1) | (np.abs(points[:, 1]) >= 1)
    assert raw.instance is not None
    assert raw.label is not None
    np.testing.assert_array_equal(raw.instance[:key_points], np.where(values % 1000 > 0, values, 0)[kept])
    assert not raw.instance[key_points:].any()
    names = list(get_colormap())
    expected = [ClassNames().label_class(names[value // 1000]) for value in values[kept]]
    assert (raw.label[:key_points] == expected).all() == (not has_lidarseg)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda values: values[:-1],
            r"data is uint16 of shape \[\d+\], expected uint16, one for each of the",
        ),
        (lambda values: values.astype(np.int64), r"data.npy has \d+ bytes, too many for \d+ points"),
        (lambda values: values.astype(np.int16), "data is int16"),
        (lambda values: np.zeros(10**7, np.uint16), r"data.npy has 20000128 bytes, too many"),
        (lambda values: np.array([{}] * 5), "Object arrays cannot be loaded"),
    ],
)
def test_damaged_panoptic_files_are_named(root: Path, change: Callable[[np.ndarray], Any], message: str) -> None:
    write_panoptic(root, change)
    with pytest.raises(UserError, match=rf"_panoptic\.npz: .*{message}"):
        read(root)


def test_a_truncated_panoptic_file_is_named(root: Path) -> None:
    write_panoptic(root)
    for path in (root / "panoptic" / VERSION).iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"_panoptic\.npz: not readable as an \.npz file"):
        read(root)


def test_boxes_have_their_attribute(root: Path, edit_table: Edit) -> None:
    raw = read(root)
    assert raw.box_attribute is not None
    assert [ATTRIBUTES[index] for index in raw.box_attribute] == ["vehicle.moving"] * 2
    assert raw.box_points is not None
    assert raw.box_points.tolist() == [1, 1]
    edit_table("sample_annotation", lambda records: records[-1].update(attribute_tokens=[]))
    raw = read(root)
    assert raw.box_attribute is not None
    assert [ATTRIBUTES[index] for index in raw.box_attribute] == ["vehicle.moving", "none"]


def test_attributes_are_the_devkits() -> None:
    from nuscenes.eval.detection.constants import ATTRIBUTE_NAMES

    assert ["none", *ATTRIBUTE_NAMES] == ATTRIBUTES


def test_the_class_map_is_slidrs() -> None:
    # index of lidarseg-32 -> class, as evaluated by valeoai/SLidR; all others are ignored
    expected = dict.fromkeys(range(32), 0) | {
        **{9: 1, 14: 2, 15: 3, 16: 3, 17: 4, 18: 5, 21: 6, 2: 7, 3: 7, 4: 7, 6: 7, 12: 8, 22: 9, 23: 10},
        **{24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 30: 16},
    }
    assert {index: ClassNames().label_class(name) for index, name in enumerate(get_colormap())} == expected
    assert len(LABEL_CLASSES) == 17
    assert LABEL_CLASSES[0] == "ignore"


def test_boxes_have_the_detection_classes() -> None:
    for category in get_colormap():
        others = "bicycle_rack" if category == "static_object.bicycle_rack" else "other"
        assert BOX_CLASSES[ClassNames().box_class(category)] == (category_to_detection_name(category) or others)


def test_frames_come_scene_by_scene_in_time_order(pristine_root: Path) -> None:
    frames = NuScenesReader(pristine_root, VERSION).frames(None)
    assert [frame.scene for frame in frames] == ["scene-0061"] * 3 + ["scene-0103"] * 3
    assert frames == sorted(frames, key=lambda frame: (frame.scene, frame.timestamp_us))


def test_splits(pristine_root: Path) -> None:
    reader = NuScenesReader(pristine_root, VERSION)
    assert {frame.scene for frame in reader.frames("mini_train")} == {"scene-0061"}
    assert {frame.scene for frame in reader.frames("mini_val")} == {"scene-0103"}
    with pytest.raises(UserError, match=r"scene\.json: no scene of split 'test'"):
        reader.frames("test")


def test_slidrs_verifying_scenes_are_100_of_the_700_train_scenes(pristine_root: Path) -> None:
    splits = NuScenesReader(pristine_root, VERSION).splits()
    train = set(create_splits_scenes()["train"])
    assert len(set(VERIFYING_SCENES)) == 100
    assert set(VERIFYING_SCENES) < train
    assert set(splits["parametrizing"]) == train - set(VERIFYING_SCENES)
    assert len(splits["parametrizing"]) == 600


def test_custom_splits(root: Path) -> None:
    path = root / VERSION / "splits.json"
    path.write_text('{"mine": ["scene-0103"]}')
    assert {frame.scene for frame in NuScenesReader(root, VERSION).frames("mine")} == {"scene-0103"}
    for content, message in [
        ('{"val": ["scene-0103"]}', "'val' is an official split"),
        ('{"mine": "scene-0103"}', "split 'mine' is not a list of scene names"),
        ("[]", "expected an object of split names"),
        ("{", "not readable as JSON"),
    ]:
        path.write_text(content)
        with pytest.raises(UserError, match=rf"splits\.json: {message}"):
            NuScenesReader(root, VERSION).frames("mine")


def test_a_source_is_pickled_without_the_tables(pristine_root: Path) -> None:
    reader = NuScenesReader(pristine_root, VERSION, sweeps=3)
    content = pickle.dumps(reader.source(reader.frames(None)[-1]))
    assert len(content) < 10_000
    np.testing.assert_array_equal(pickle.loads(content).read().points, read(pristine_root, sweeps=3).points)


def test_absent_parts_are_reported_and_the_others_are_read(root: Path, edit_table: Edit) -> None:
    shutil.rmtree(root / "sweeps")
    (root / VERSION / "lidarseg.json").unlink()
    edit_table("sample_annotation", lambda records: records.clear())
    absent = NuScenesReader(root, VERSION, sweeps=5).absent()
    parts = ["sweeps", "lidarseg", "panoptic", "annotations", "map"]
    assert [part.split(" ")[0] for part in absent[:5]] == parts
    assert [part.rpartition(" (")[0] for part in absent[5:]] == [
        "7 of 8 scenes of split mini_train",
        "1 of 2 scenes of split mini_val",
    ]
    raw, key_points = merged(root, sweeps=5)
    assert raw.points.shape == (key_points, 5)
    assert raw.label is None
    assert raw.box is None
    assert set(raw.images) == {"CAM_FRONT", "CAM_BACK"}
    assert NuScenesReader(root, VERSION, sweeps=5).absent() == absent


@pytest.mark.parametrize("linked", ["samples", "sweeps", "lidarseg", "samples/CAM_BACK", VERSION, "one file"])
def test_links_that_the_user_placed_are_followed(root: Path, tmp_path: Path, linked: str) -> None:
    expected = read(root, sweeps=3)
    place = last(root, "samples/CAM_BACK") if linked == "one file" else root / linked
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    found = read(root, sweeps=3)
    np.testing.assert_array_equal(found.points, expected.points)
    assert found.images == expected.images


def test_cameras_without_files_are_left_out_and_reported(root: Path) -> None:
    shutil.rmtree(root / "samples" / "CAM_BACK")
    raw, reader = read(root), NuScenesReader(root, VERSION)
    assert set(raw.images) == set(raw.cameras) == {"CAM_FRONT"}
    assert "images of CAM_BACK" in reader.absent()
    shutil.rmtree(root / "samples" / "CAM_FRONT")
    assert not read(root).images
    assert "images of CAM_FRONT, CAM_BACK" in NuScenesReader(root, VERSION).absent()


def test_a_missing_image_is_counted_and_its_view_left_out(root: Path) -> None:
    last(root, "samples/CAM_BACK").unlink()
    raw = read(root)
    assert set(raw.images) == set(raw.cameras) == set(raw.image_names) == {"CAM_FRONT"}
    assert raw.left_out["images of CAM_BACK, without a file"] == 1
    assert set(read(root, index=0).images) == {"CAM_FRONT", "CAM_BACK"}


def test_the_view_of_a_camera_without_a_keyframe_is_left_out(root: Path, edit_table: Edit) -> None:
    edit_table("sample_data", lambda records: records.pop())
    assert set(read(root).images) == {"CAM_FRONT"}


def test_images_are_left_out_unless_requested(root: Path) -> None:
    shutil.rmtree(root / "samples" / "CAM_BACK")
    reader = NuScenesReader(root, VERSION, images=False)
    assert not reader.source(reader.frames(None)[-1]).read().cameras
    assert not any("images" in part for part in reader.absent())
    assert reader.options() == NuScenesReader(root, VERSION).options() | {"cameras": "none"}


def test_known_categories_are_nuscenes_own() -> None:
    names = ClassNames()
    assert set(WITHOUT_CLASS) < set(get_colormap())
    assert all(names.knows_category(name) for name in get_colormap())
    assert not names.knows_category("car")


def test_unknown_names_are_counted_and_named_or_mapped_by_a_file(root: Path, edit_table: Edit, tmp_path: Path) -> None:
    def rename(records: list) -> None:
        for record in records:
            record["name"] = {"vehicle.car": "Wagon", "vehicle.moving": "fast"}.get(record["name"], record["name"])

    edit_table("category", rename)
    edit_table("attribute", rename)
    raw = read(root)
    assert raw.box_class is not None
    assert "car" not in [BOX_CLASSES[index] for index in raw.box_class]
    named = {reason.split(",")[0]: count for reason, count in raw.left_out.items() if "unknown" in reason}
    assert named.pop("points of the unknown category 'Wagon'") > 0
    assert named == {"boxes of the unknown category 'Wagon'": 1, "boxes with the unknown attribute 'fast'": 2}
    path = tmp_path / "classes.toml"
    path.write_text('[category]\nWagon = "truck"\n[attribute]\nfast = "vehicle.stopped"\n')
    reader = NuScenesReader(root, VERSION, classes=path)
    raw = reader.source(reader.frames(None)[-1]).read()
    assert raw.box_class is not None
    assert raw.box_attribute is not None
    assert raw.label is not None
    assert [BOX_CLASSES[index] for index in raw.box_class] == ["truck", "other"]
    assert {ATTRIBUTES[index] for index in raw.box_attribute} == {"vehicle.stopped"}
    assert not any("unknown" in reason for reason in raw.left_out)
    assert reader.options()["classes"]["category"] == {"Wagon": "truck"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[category]\nWagon = "lorry"', "category 'Wagon' is 'lorry', expected one of .*truck"),
        ('[classes]\nWagon = "truck"', "unknown table 'classes'"),
        ("category = 3", "unknown table 'category'"),
        ("[category", "not readable as TOML"),
    ],
)
def test_files_of_classes_are_checked(root: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        NuScenesReader(root, VERSION, classes=path)
    assert str(caught.value).startswith(f"{path}: ")


def set_counts(records: list, value: int) -> None:
    for record in records:
        record["num_lidar_pts"] = value


@pytest.mark.parametrize("value", [-1, 0])
def test_points_in_boxes_are_counted_if_not_annotated(root: Path, edit_table: Edit, value: int) -> None:
    box = read(root).box
    assert box is not None
    x, y, z, length, _, height, yaw = box[0, :7].astype(float)
    end = [x + 0.4 * length * np.cos(yaw), y + 0.4 * length * np.sin(yaw), z]
    cloud = [[x, y, z], end, [x, y, z + height], [x, y, z - height], [40, 40, 0]]
    points = np.array([[*point, 9, 3] for point in cloud], np.float32)
    points.tofile(last(root, "samples/LIDAR_TOP"))
    (root / VERSION / "lidarseg.json").unlink()
    edit_table("sample_annotation", lambda records: set_counts(records, value))
    raw = read(root)
    assert raw.box_points is not None
    assert raw.box_points[0] == 2
    assert raw.left_out["boxes without a count of points, counted here"] == 2
    empty = int((raw.box_points == 0).sum())
    assert raw.left_out.get("boxes without points, left out of training", 0) == empty


def test_a_count_of_0_is_kept_if_other_boxes_have_points(root: Path, edit_table: Edit) -> None:
    edit_table("sample_annotation", lambda records: records[-1].update(num_lidar_pts=0))
    raw = read(root)
    assert raw.box_points is not None
    assert raw.box_points.tolist() == [1, 0]
    assert raw.left_out["boxes without points, left out of training"] == 1


def test_time_stamps_may_have_a_fraction(root: Path, edit_table: Edit) -> None:
    expected = NuScenesReader(root, VERSION).frames(None)
    for table in ("sample", "sample_data"):
        edit_table(table, lambda records: [record.update(timestamp=record["timestamp"] + 0.25) for record in records])
    edit_table("sample_data", lambda records: records[0].update(width=None, height=None))
    assert NuScenesReader(root, VERSION).frames(None) == expected
    read(root)


def test_missing_scenes_of_a_users_split_are_reported(root: Path) -> None:
    (root / VERSION / "splits.json").write_text('{"mine": ["scene-0103", "scene-9999"]}')
    assert "1 of 2 scenes of split mine (scene-9999 is the first)" in NuScenesReader(root, VERSION).absent()


def test_points_are_projected_through_the_global_frame(pristine_root: Path, devkit: NuScenes) -> None:
    raw = read(pristine_root)
    sample = devkit.sample[-1]
    point = np.array([3.0, 5.0, -1.0])  # LiDAR frame; transformed by hand, pose by pose
    lidar = devkit.get("sample_data", sample["data"]["LIDAR_TOP"])
    for channel, camera in raw.cameras.items():
        seen = devkit.get("sample_data", sample["data"][channel])
        moved = point
        for record, forwards in ((lidar, True), (seen, False)):
            tables = ("calibrated_sensor", "ego_pose")
            for table in tables if forwards else tables[::-1]:
                pose = devkit.get(table, record[f"{table}_token"])
                rotation, translation = rotation_of(pose), np.array(pose["translation"])
                moved = rotation @ moved + translation if forwards else rotation.T @ (moved - translation)
        np.testing.assert_allclose((camera.camera_from_lidar @ [*point, 1])[:3], moved, atol=1e-9)


def last(root: Path, folder: str) -> Path:
    return sorted((root / folder).iterdir())[-1]


def set_value(value: float) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        points = np.fromfile(last(root, "samples/LIDAR_TOP"), np.float32)
        points[5 * 17 + 3] = value
        points.tofile(last(root, "samples/LIDAR_TOP"))

    return change


def overwrite(folder: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda root: last(root, folder).write_bytes(change(last(root, folder).read_bytes())) and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            overwrite("samples/LIDAR_TOP", lambda b: b[:-7]),
            r"\.pcd\.bin: \d+ bytes are not a whole number of points of 20",
        ),
        (overwrite("samples/LIDAR_TOP", lambda b: b""), r"\.pcd\.bin: .*no points"),
        (overwrite("sweeps/LIDAR_TOP", lambda b: b[:-7]), r"sweeps/LIDAR_TOP/\d+\.pcd\.bin: \d+ bytes are not a whole"),
        (set_value(np.nan), r"\.pcd\.bin: intensity of point 17 is nan"),
        (set_value(-np.inf), r"\.pcd\.bin: intensity of point 17 is -inf"),
        (set_value(1e30), r"\.pcd\.bin: intensity of point 17 is 1e\+30"),
        (lambda root: last(root, "samples/LIDAR_TOP").unlink(), r"samples/LIDAR_TOP/\d+\.pcd\.bin: no such file"),
        (
            lambda root: last(root, f"lidarseg/{VERSION}").unlink(),
            rf"lidarseg/{VERSION}/sample_data\d+\.bin: no such file",
        ),
        (overwrite("samples/CAM_BACK", lambda b: b[:100]), r"CAM_BACK/\d+\.jpg: cannot be decoded as a JPEG"),
        (
            overwrite("samples/CAM_BACK", lambda b: b[: len(b) // 2]),
            r"CAM_BACK/\d+\.jpg: cannot be decoded .*truncated",
        ),
        (overwrite("samples/CAM_BACK", lambda b: b"no image"), r"CAM_BACK/\d+\.jpg: cannot be decoded as a JPEG"),
        (overwrite(f"lidarseg/{VERSION}", lambda b: b[:-1]), r"\.bin: holds \d+ labels, but the sweep has \d+ points"),
        (overwrite(f"lidarseg/{VERSION}", lambda b: b"\x63" * len(b)), r"\.bin: holds label 99, .* category\.json"),
    ],
)
def test_damaged_files_are_named(root: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(root)
    with pytest.raises(UserError, match=message) as caught:
        read(root, sweeps=3)
    assert "\n" not in str(caught.value)


def set_field(row: int, /, **fields: Any) -> Callable[[list], None]:
    return lambda records: records[row].update(fields)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (
            "sample",
            lambda r: r[0].pop("timestamp"),
            "sample.json: field 'timestamp' of record 0 is missing, expected microseconds",
        ),
        (
            "sample",
            set_field(0, timestamp="now"),
            "'timestamp' of record 0 is 'now', expected microseconds",
        ),
        ("sample_data", lambda r: r[3].pop("filename"), "sample_data.json: field 'filename' of record 3 is missing"),
        (
            "category",
            lambda r: r[3].pop("index"),
            "category.json: field 'index' of record 3 is missing",
        ),
        (
            "sensor",
            set_field(1, channel="CAM/FRONT"),
            "sensor.json: channel of record 1 is 'CAM/FRONT'",
        ),
        (
            "category",
            set_field(3, index=999),
            "field 'index' of record 3 is 999, expected a whole number in 0..255",
        ),
        (
            "sample",
            set_field(0, scene_token="lost"),
            "sample.json: scene_token 'lost' of record 'sample0000' is not in",
        ),
        (
            "ego_pose",
            lambda r: r.pop(),
            "sample_data.json: ego_pose_token 'ego_pose.*' of record .* is not in ego_pose.json",
        ),
        (
            "sample_data",
            set_field(-1, prev="lost"),
            "sample_data.json: prev 'lost' of record .* is not in sample_data.json",
        ),
        (
            "sample_annotation",
            set_field(-1, next="lost"),
            "sample_annotation.json: next 'lost' of record .* is not in sample_annotation.json",
        ),
        (
            "instance",
            set_field(1, token="instance0000"),
            "records 0 and 1 have the same token",
        ),
        (
            "sample_data",
            set_field(3, prev="sample_data0001"),
            "sample_data.json: prev 'sample_data0001' of record .* is not of LIDAR_TOP",
        ),
        (
            "sample_annotation",
            lambda records: records[-1].update(size=[1.0, 0.0, 2.0]),
            r"sample_annotation.json: size of .* is \[1.0, 0.0, 2.0\], expected numbers above 0",
        ),
        (
            "sample_annotation",
            set_field(0, attribute_tokens=["lost"]),
            "sample_annotation.json: attribute_tokens 'lost' of record .* is not in attribute.json",
        ),
        ("calibrated_sensor", lambda r: r.clear(), "sample_data.json: calibrated_sensor_token .* is not in"),
    ],
)
def test_damaged_tables_are_named(
    root: Path, edit_table: Edit, table: str, change: Callable[[list], Any], message: str
) -> None:
    edit_table(table, change)
    with pytest.raises(UserError, match=message) as caught:
        read(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (
            "calibrated_sensor",
            set_field(1, camera_intrinsic=[[1, 2], [3, 4]]),
            "'camera_intrinsic' of record 1 is .*, expected 3 rows of 3 numbers",
        ),
        (
            "ego_pose",
            set_field(-1, rotation=[0, 0, 0, 0]),
            r"rotation \[0, 0, 0, 0\] of record 'ego_pose.*' is zero",
        ),
        (
            "calibrated_sensor",
            set_field(0, translation=[0, 0, None]),
            "record 0 is .* expected 3 numbers",
        ),
        ("sample_data", set_field(-2, width=65), "64x48 pixels, but the tables say 65x48"),
        ("sample_data", set_field(-3, is_key_frame=False), "sample 'sample0005' has no keyframe of LIDAR_TOP"),
        ("sample_data", set_field(-1, filename="../../etc/passwd"), "the path '../../etc/passwd' leaves the folder"),
    ],
)
def test_damaged_records_are_named(
    root: Path, edit_table: Edit, table: str, change: Callable[[list], Any], message: str
) -> None:
    edit_table(table, change)
    with pytest.raises(UserError, match=message):
        read(root)


def test_a_missing_table_is_reported_before_tables_are_loaded(root: Path) -> None:
    (root / VERSION / "ego_pose.json").unlink()
    with pytest.raises(UserError, match=r"v1\.0-mini/ego_pose\.json: the table is missing"):
        NuScenesReader(root, VERSION)


def test_a_missing_version_lists_the_existing_ones(root: Path) -> None:
    with pytest.raises(UserError, match=r"no version 'v1\.0-trainval'; found .*: v1\.0-mini"):
        NuScenesReader(root, "v1.0-trainval")
    with pytest.raises(UserError, match="no such folder"):
        NuScenesReader(root / "nowhere", VERSION)


def test_tables_that_preparation_does_not_need_may_be_missing(root: Path) -> None:
    for table in ("map", "visibility"):
        (root / VERSION / f"{table}.json").unlink()
    assert read(root).box is not None


@pytest.mark.parametrize("sweeps", [0, 11, -1])
def test_sweeps_out_of_range(pristine_root: Path, sweeps: int) -> None:
    with pytest.raises(UsageError, match=rf"sweeps: {sweeps} is not in 1\.\.10"):
        NuScenesReader(pristine_root, VERSION, sweeps)


def test_the_real_keyframe(real_root: Path) -> None:
    raw = read(real_root)
    assert raw.points.shape == (34_688 - 8_274, 4)  # counted in the file: points, and returns from the vehicle
    assert 0.9 < raw.points[:, 3].max() <= 1
    assert raw.box is not None
    assert raw.box.shape == (68, 9)
    assert len(raw.cameras) == 6
    assert raw.label is None


def test_columns_and_scales_are_those_that_the_user_names(root: Path) -> None:
    """All point files have a fifth column that is kept, and intensities up to 510."""
    layout = PointLayout(("x", "y", "z", "intensity", "row"), intensity_max=510.0)
    reader = NuScenesReader(root, VERSION, sweeps=2, layout=layout)
    assert reader.columns() == ("x", "y", "z", "intensity", "row", "time")
    assert reader.options()["read"] == ["x", "y", "z", "intensity", "row"]
    assert "read" not in NuScenesReader(root, VERSION).options()
    usual, named = read(root), reader.source(reader.frames(None)[-1]).read()
    np.testing.assert_allclose(named.points[:, 3], usual.points[:, 3] / 2, rtol=1e-6)
    assert set(named.points[:, 4]) <= set(range(-1, 256))
    assert MergeStage()(named).points.shape[1] == 6
