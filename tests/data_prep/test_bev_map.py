import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.bev_map import MapElements, MapGrid

GRID = MapGrid(reach=10.0, cell_size=0.5, line_reach=0.7)


def centres() -> np.ndarray:
    """[rows, columns, 2] x y of each cell's centre."""
    along = np.arange(40) * 0.5 - 9.75
    return np.stack(np.meshgrid(along, along), axis=-1)


def ring_edges(ring: np.ndarray) -> np.ndarray:
    return np.concatenate([ring, np.roll(ring, -1, axis=0)], axis=1)


def elements(polygons: list[list[np.ndarray]], lines: np.ndarray | None = None) -> MapElements:
    edges = [np.concatenate([ring_edges(ring) for ring in rings]) for rings in polygons]
    first = np.cumsum([0, *map(len, edges)]).astype(np.int64)
    return MapElements(
        np.concatenate(edges) if edges else np.empty((0, 4)), first, np.empty((0, 4)) if lines is None else lines
    )


def star(rng: np.random.Generator, centre: np.ndarray, radius: float) -> np.ndarray:
    """A ring that does not cross itself."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    return centre + np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(0.3, 1.0, (len(angle), 1)) * radius


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_cells_are_those_whose_centre_lies_in_a_polygon(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rings = [star(rng, rng.uniform(-12, 12, 2), rng.uniform(1, 15)) for _ in range(3)]
    expected = np.zeros((40, 40), bool)
    for ring in rings:
        polygon = shapely.make_valid(shapely.Polygon(ring))
        expected |= shapely.contains_xy(polygon, centres()[..., 0], centres()[..., 1])
    found = GRID.rasterize(elements([[ring] for ring in rings]))
    if all(shapely.Polygon(ring).is_valid for ring in rings):
        np.testing.assert_array_equal(found, expected)


def test_a_hole_is_left_out_and_another_polygon_may_fill_it() -> None:
    outer = np.array([[-8, -8], [8, -8], [8, 8], [-8, 8]], float)
    hole, island = outer / 2, outer / 4
    found = GRID.rasterize(elements([[outer, hole], [island]]))
    size = np.abs(centres()).max(axis=-1)
    np.testing.assert_array_equal(found, ((size < 8) & (size > 4)) | (size < 2))


def test_rows_are_y_and_columns_are_x() -> None:
    ring = np.array([[5, -9], [9, -9], [9, -8], [5, -8]], float)
    found = GRID.rasterize(elements([[ring]]))
    rows, columns = np.nonzero(found)
    assert (set(rows), columns.min(), columns.max()) == ({2, 3}, 30, 37)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_a_line_covers_the_cells_near_it(seed: int) -> None:
    lines = np.random.default_rng(seed).uniform(-14, 14, (3, 4))
    expected = np.zeros((40, 40), bool)
    for x0, y0, x1, y1 in lines:
        distance = shapely.distance(shapely.LineString([(x0, y0), (x1, y1)]), shapely.points(centres()))
        expected |= distance <= 0.7
    np.testing.assert_array_equal(GRID.rasterize(elements([], lines)), expected)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_what_is_far_away_leaves_no_trace(far: float) -> None:
    ring = np.array([[far, 0], [far + 5, 0], [far + 5, 5]])
    assert not GRID.rasterize(elements([[ring]], np.array([[far, far, -far, far]]))).any()
    assert not GRID.rasterize(elements([])).any()


def test_a_point_is_a_line_too() -> None:
    found = GRID.rasterize(elements([], np.array([[0.25, 0.25, 0.25, 0.25]])))
    assert found.sum() == 5  # the cell and its four neighbours: 0.5 m away, where diagonal ones are 0.707 m away
