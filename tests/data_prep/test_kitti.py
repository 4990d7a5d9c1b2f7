"""A tiny copy of KITTI's 3D object benchmark."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data_prep.kitti import BOX_CLASSES, KittiReader
from data_prep.reader import RawFrame
from pc_ssl.cli import app
from pc_ssl.data.cache import Cache
from pc_ssl.data.verify import verify
from pc_ssl.errors import UserError

P2 = np.array([[70.7, 0, 60.9, 4.5], [0, 70.7, 17.2, -0.2], [0, 0, 1, 0.003]])
ANGLE = 0.01
R0 = np.array([[1, 0, 0], [0, np.cos(ANGLE), -np.sin(ANGLE)], [0, np.sin(ANGLE), np.cos(ANGLE)]])
TR = np.array([[0, -1, 0, -0.004], [0, 0, -1, -0.076], [1, 0, 0, -0.272]])
LABELS = (
    "Car 0.00 0 -1.57 599 156 629 189 1.50 1.60 4.20 2.10 1.60 12.30 0.70\n"
    "DontCare -1 -1 -10 503 169 590 190 -1 -1 -1 -1000 -1000 -1000 -10\n"
    "Pedestrian 0.00 2 0.2 423 173 433 224 1.80 0.50 0.60 -3.00 1.70 8.00 -1.20\n"
)


def text(**matrices: np.ndarray) -> str:
    return "".join(f"{name}: {' '.join(f'{value:.12e}' for value in m.ravel())}\n" for name, m in matrices.items())


def cloud(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform([0, -15, -1.7], [40, 15, 1], (600, 3)), rng.uniform(0, 1, 600)]).astype(
        np.float32
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root, stream = tmp_path / "kitti", io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 124, 3), dtype=np.uint8)).save(stream, "PNG")
    for part, numbers in (("training", (3, 8)), ("testing", (3,))):
        for number in numbers:
            files = {
                f"velodyne/{number:06d}.bin": cloud(number).tobytes(),
                f"image_2/{number:06d}.png": stream.getvalue(),
                f"calib/{number:06d}.txt": text(P0=P2, P2=P2, R0_rect=R0, Tr_velo_to_cam=TR).encode(),
            }
            if part == "training":
                files[f"label_2/{number:06d}.txt"] = LABELS.encode()
            for name, content in files.items():
                (root / part / name).parent.mkdir(parents=True, exist_ok=True)
                (root / part / name).write_bytes(content)
    (root / "ImageSets").mkdir()
    for split, numbers in (("train", "000003"), ("val", "000008"), ("test", "000003")):
        (root / "ImageSets" / f"{split}.txt").write_text(f"{numbers}\n")
    return root


def read(root: Path, split: str = "train") -> RawFrame:
    reader = KittiReader(root)
    return reader.source(reader.frames(split)[0]).read()


def test_points_project_as_in_the_development_kit(root: Path) -> None:
    raw = read(root)
    np.testing.assert_array_equal(raw.points, cloud(3))
    pixel, point = raw.cameras["image_2"].pairs(raw.points[:, :3])
    assert len(point) > 50
    lidar = np.column_stack([cloud(3)[point, :3].astype(float), np.ones(len(point))])
    rectified = np.column_stack([lidar @ TR.T @ R0.T, np.ones(len(point))])
    expected = rectified @ P2.T
    np.testing.assert_allclose(pixel, expected[:, :2] / expected[:, 2:], rtol=1e-4, atol=1e-3)


def corners(length: float, width: float, height: float) -> np.ndarray:
    x = np.array([1, 1, -1, -1, 1, 1, -1, -1]) * length / 2
    across = np.array([1, -1, -1, 1, 1, -1, -1, 1]) * width / 2
    up = np.array([0, 0, 0, 0, 1, 1, 1, 1]) * height
    return np.stack([x, across, up], 1)


def test_boxes_have_the_corners_of_the_label_files(root: Path) -> None:
    raw = read(root)
    assert [BOX_CLASSES[k] for k in raw.box_class] == ["Car", "Pedestrian"]
    for box, line in zip(raw.box.astype(float), [LABELS.splitlines()[k] for k in (0, 2)], strict=True):
        height, width, length, x, y, z, turn = (float(word) for word in line.split()[8:])
        own = corners(length, width, height) * [1, 1, -1]  # x along, z across, y down from the lower face
        own = own[:, [0, 2, 1]]
        rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        rectified = own @ rotation.T + [x, y, z]
        expected = (rectified @ R0 - TR[:, 3]) @ TR[:, :3]
        yaw = box[6]
        spin = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        found = (corners(*box[3:6]) - [0, 0, 0.5 * box[5]]) @ spin.T + box[:3]
        near = np.linalg.norm(found[:, None] - expected[None], axis=2)
        assert near.min(axis=1).max() < 0.05  # boxes of the cache are upright in the LiDAR frame, KITTI's only nearly
        front = [0, 1, 4, 5]
        np.testing.assert_allclose(found[front].mean(axis=0), expected[front].mean(axis=0), atol=0.05)
        assert np.isnan(box[7:]).all()


def test_each_frame_is_a_scene_in_the_splits_of_the_benchmark(root: Path) -> None:
    reader = KittiReader(root)
    assert reader.splits() == {"test": ["testing_000003"], "train": ["training_000003"], "val": ["training_000008"]}
    assert [frame.token for frame in reader.frames(None)] == ["training_000003", "training_000008", "testing_000003"]
    assert read(root, "test").box is None


def test_it_gives_a_valid_cache(root: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["prepare", "kitti", "--root", str(root), "--out", str(tmp_path / "cache")])
    assert result.exit_code == 0, result.output
    assert not verify(tmp_path / "cache").problems
    assert Cache(tmp_path / "cache")[0]["box"].shape == (2, 9)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("calib/000003.txt", "R0_rect", "R0", "has no 'R0_rect' of 9 numbers"),
        ("calib/000003.txt", "R0_rect: 1", "R0_rect: one", "'R0_rect' is not followed by numbers"),
        ("calib/000003.txt", "R0_rect: 1", "R0_rect: 5", "R0_rect is not a rigid transform"),
        ("calib/000003.txt", "P2: 7", "P2: -7", "P2 is not a camera matrix"),
        ("label_2/000003.txt", "Car", "Horse", "line 1: expected a type .Car, Van"),
        ("label_2/000003.txt", "1.50 1.60 4.20", "1.50 1.60", "line 1: expected a type .* and 14 numbers"),
        ("label_2/000003.txt", "1.50 1.60", "0.00 1.60", "line 1 has a box of 0.0 x 1.6 x 4.2 m"),
    ],
)
def test_errors_name_file_and_field(root: Path, file: str, old: str, new: str, message: str) -> None:
    path = root / "training" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        read(root)
    assert file in str(caught.value)


def test_other_folders_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither training/velodyne nor testing/velodyne"):
        KittiReader(tmp_path)


def test_missing_files_of_a_copy_are_left_out(root: Path) -> None:
    """Without the image of one frame, the images of testing, or any calibration, points are still read."""
    (root / "training/image_2/000003.png").unlink()
    shutil.rmtree(root / "testing/image_2")
    reader = KittiReader(root)
    first, second, third = (reader.source(frame).read() for frame in reader.frames(None))
    assert [len(raw.cameras) for raw in (first, second, third)] == [0, 1, 0]
    assert sum(first.left_out.values()) == 1
    assert [second.left_out, third.left_out] == [{}, {}]  # a missing folder is reported once for all frames
    assert first.box is not None
    assert len(first.box) == 2
    assert "testing/image_2 (no images)" in reader.absent()
    shutil.rmtree(root / "training/calib")
    raw = reader.source(reader.frames(None)[0]).read()
    assert (raw.cameras, raw.box) == ({}, None)
    assert "training/calib (no images, no boxes)" in reader.absent()


def test_a_conversion_with_other_columns_and_intensities_is_prepared_as_the_command_says(
    root: Path, tmp_path: Path
) -> None:
    """Waymo's intensities are unbounded, and its conversions to KITTI's format have the elongation."""
    for path in root.glob("*/velodyne/*.bin"):
        points = np.column_stack([np.fromfile(path, np.float32).reshape(-1, 4), np.full(600, 0.5)])
        points[0, 3] = 1500.0
        points.astype(np.float32).tofile(path)
    base = ["prepare", "kitti", "--root", str(root), "--regions", "", "--out"]
    columns = ["--columns", "x,y,z,intensity,elongation", "--intensity-max", "2"]
    refused = CliRunner().invoke(app, [*base, str(tmp_path / "refused"), *columns])
    assert isinstance(refused.exception, UserError)
    assert "--intensity-clip" in str(refused.exception)
    assert "--intensity-tanh" in str(refused.exception)
    result = CliRunner().invoke(app, [*base, str(tmp_path / "cache"), *columns, "--intensity-clip"])
    assert result.exit_code == 0, result.output
    cache = Cache(tmp_path / "cache")
    assert cache.columns == ("x", "y", "z", "intensity", "elongation")
    points = cache[0]["points"].numpy()
    assert points[0, 3] == 1.0
    np.testing.assert_array_equal(points[1:, 3], cloud(3)[1:, 3] / 2)
    assert (points[:, 4] == 0.5).all()
    result = CliRunner().invoke(app, [*base, str(tmp_path / "tanh"), *columns, "--intensity-tanh"])
    assert result.exit_code == 0, result.output
    of_tanh = Cache(tmp_path / "tanh")
    assert of_tanh.manifest.options["intensity_tanh"] is True
    expected = np.tanh(np.append(1500.0, cloud(3)[1:, 3]) / 2)
    np.testing.assert_allclose(of_tanh[0]["points"].numpy()[:, 3], expected, rtol=1e-6)
    again = CliRunner().invoke(app, [*base, str(tmp_path / "cache")])
    assert again.exit_code != 0
    assert isinstance(again.exception, UserError)
    assert "other options" in str(again.exception)
