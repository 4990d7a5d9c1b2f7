"""Images of a known scene: positions of objects, and shadows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from data_prep.simulate.categories import LABEL
from data_prep.simulate.geometry import Geometry, Moment
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, box, quads
from data_prep.simulate.raycast import Shell
from data_prep.simulate.render import CameraView, Light
from data_prep.simulate.rig import CAMERAS
from data_prep.simulate.street.paint import Paint
from data_prep.simulate.street.things import Scenery

FRONT = CAMERAS[1]
PAINT = Paint(np.zeros((2, 2, 2), np.uint8), np.array([1e3, 1e3]))
NOTHING = Moment(0.0, Shell(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int32)), [], np.zeros((0, 4, 4)))
RED: Color = (220, 20, 20)


def light(towards_sun: list[float]) -> Light:
    up = np.array(towards_sun, np.float32)
    one = np.ones(3, np.float32)
    return Light(up / np.linalg.norm(up), 0.9 * one, 0.3 * one, 0.7 * one, 0.5 * one, 0.0, 5e3, 1.0)


def picture_of(parts: list[Scenery], towards_sun: list[float], size: tuple[int, int] = (160, 90)) -> np.ndarray:
    corner = 300.0 * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    ground = quads(corner[None], Material.CONCRETE, (150, 150, 150))
    world = SimpleNamespace(ground_mesh=ground, ground_label=np.zeros(2, np.uint8), scenery=parts, things=[])
    geometry = Geometry(np.random.default_rng(0), world)
    return CameraView(FRONT, size).render(geometry, NOTHING, PAINT, light(towards_sun), np.eye(4), 0)


def test_box_appears_where_its_corners_project() -> None:
    low, high = np.array([14.0, -3.0, 0.0]), np.array([16.0, -1.0, 2.0])
    block = box(tuple(high - low), tuple(0.5 * (low + high)), Material.PLASTER, RED)
    picture = picture_of([Scenery(block, LABEL["static.manmade"])], [-1, 0.2, 1]).astype(int)
    red = picture[:, :, 0] > picture[:, :, 1] + 60
    rows, columns = np.nonzero(red)
    corner = np.array([[x, y, z] for x in (14, 16) for y in (-3, -1) for z in (0, 2)], float)
    camera = np.linalg.inv(FRONT.ego_from_camera)
    seen = corner @ camera[:3, :3].T + camera[:3, 3]
    pixel = (seen / seen[:, 2:]) @ FRONT.intrinsic((160, 90)).T
    low, high = pixel[:, :2].min(0), pixel[:, :2].max(0)
    assert np.abs(np.array([columns.min(), rows.min()]) - low).max() < 1.5
    assert np.abs(np.array([columns.max(), rows.max()]) - high).max() < 1.5


def test_ground_behind_a_wall_is_in_its_shadow() -> None:
    wall = box((0.3, 8.0, 4.0), (16.0, 0.0, 2.0), Material.PLASTER, RED)
    parts = [Scenery(wall, LABEL["static.manmade"])]
    shaded, lit = (
        picture_of(parts, [1, 0, 0.6]),
        picture_of(parts, [-1, 0, 0.6]),
    )  # the sun behind the wall, or in front of it
    camera = np.linalg.inv(FRONT.ego_from_camera)
    spot = camera[:3, :3] @ np.array([14.0, 0.0, 0.0]) + camera[:3, 3]
    column, row = (FRONT.intrinsic((160, 90)) @ (spot / spot[2]))[:2].round().astype(int)
    assert lit[row, column].mean() > 1.4 * shaded[row, column].mean()


def test_sky_is_above_the_horizon() -> None:
    picture = picture_of([], [0, 1, 1]).astype(int)
    np.testing.assert_allclose(picture[2, ::10].mean(), 255 * np.sqrt(0.6), atol=25)
    assert picture[-1].std() < picture.std()


def test_image_size_does_not_change_the_field_of_view() -> None:
    block = box((2.0, 2.0, 2.0), (14.0, 0.0, 1.0), Material.PLASTER, RED)
    parts = [Scenery(block, LABEL["static.manmade"])]
    small, large = (picture_of(parts, [-1, 0, 1], size).astype(int) for size in ((160, 90), (320, 180)))
    shares = [(picture[:, :, 0] > picture[:, :, 1] + 60).mean() for picture in (small, large)]
    assert abs(shares[0] / shares[1] - 1) < 0.06
