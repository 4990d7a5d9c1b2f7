"""Pictures: what must be visible in them is looked up in their pixels."""

import io
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pc_ssl.data.cache import Cache
from pc_ssl.report import pictures


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def count(image: NDArray, color: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - color).max(axis=-1) <= 2).sum())


def block(center: tuple[float, float]) -> NDArray:
    """Points 0.1 m apart in a square of 10 m."""
    x, y = np.meshgrid(np.arange(-5, 5, 0.1), np.arange(-5, 5, 0.1))
    return np.column_stack([x.ravel() + center[0], y.ravel() + center[1], np.zeros(x.size)])


def test_each_class_is_drawn_in_its_color_at_its_position() -> None:
    xyz = np.concatenate([block((-20, 20)), block((20, -20))])
    label = np.repeat([1, 2], len(xyz) // 2)
    names = ["ignore", "car", "vegetation"]
    image = pixels(pictures.png(pictures.classes_from_above(xyz, {"labels": label}, names)))
    height, width = image.shape[:2]
    car, vegetation = (255, 158, 0), (0, 175, 0)
    upper_left, lower_right = image[: height // 2, : width // 2], image[height // 2 : 9 * height // 10, width // 2 :]
    assert count(upper_left, car) > 1000
    assert count(lower_right, vegetation) > 1000
    assert count(upper_left, vegetation) == count(lower_right, car) == 0


def test_a_wrong_prediction_is_seen_in_its_panel_only() -> None:
    xyz = block((0, 0))
    right = np.ones(len(xyz), dtype=int)
    figure = pictures.classes_from_above(xyz, {"labels": right, "network": right + 1}, ["ignore", "car", "vegetation"])
    image = pixels(pictures.png(figure))
    left_panel, right_panel = image[:600, : image.shape[1] // 2], image[:600, image.shape[1] // 2 :]
    assert count(left_panel, (255, 158, 0)) > 1000 > count(left_panel, (0, 175, 0))
    assert count(right_panel, (0, 175, 0)) > 1000 > count(right_panel, (255, 158, 0))


def test_box_outline_of_a_turned_box() -> None:
    box = np.array([[10.0, 5.0, 0.0, 4.0, 2.0, 1.5, np.pi / 2, 0.0, 0.0]])
    outline = pictures.box_outlines(box)[0]
    np.testing.assert_allclose(outline[:5], [[11, 7], [11, 3], [9, 3], [9, 7], [11, 7]], atol=1e-9)
    np.testing.assert_allclose(outline[5:], [[10, 7], [10, 5]], atol=1e-9)  # front, centre


def test_pictures_of_a_cached_frame(street_cache: Cache) -> None:
    frame = street_cache[0]
    xyz, region = frame["points"].numpy()[:, :3], frame["region/dbscan"].numpy()
    above = pictures.regions_from_above(xyz, region, frame["ground"].numpy(), frame["box"].numpy())
    point, pixel = frame["point/CAM_FRONT"].numpy(), frame["pixel/CAM_FRONT"].numpy()
    encoded = frame["image/CAM_FRONT"].numpy().tobytes()
    image = pictures.points_on_image(encoded, pixel, xyz[point, 1], region[point], "CAM_FRONT")
    features = pictures.features_from_above(xyz, {"before": xyz, "after": xyz**2})
    for figure in (above, image, features):
        assert pixels(pictures.png(figure)).std() > 5


def test_a_frame_without_points_regions_or_boxes_can_be_drawn() -> None:
    none = np.empty(0, dtype=int)
    figure = pictures.regions_from_above(np.empty((0, 3)), none, none.astype(bool), np.empty((0, 9)))
    assert pictures.png(figure)


def test_the_same_picture_gives_the_same_bytes() -> None:
    first, second = (pictures.png(pictures.features_from_above(block((0, 0)), {"a": block((0, 0))})) for _ in range(2))
    assert first == second


def test_drawing_needs_no_display_and_no_pyplot() -> None:
    code = (
        "import sys, numpy as np\n"
        "from pc_ssl.report import pictures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "pictures.png(pictures.features_from_above(np.eye(3), {'a': np.eye(3)}))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"HOME": "/tmp"}
    )
    assert done.stdout.strip() == "False"
