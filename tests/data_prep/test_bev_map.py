import numpy as np
import pytest
import shapely

from data_prep.bev_map import MapElements, MapGrid

GRID = MapGrid(reach=50.0, cell_size=0.5)


def drawn(*polygons: shapely.Polygon, lines: tuple = (), yaw: float = 0.0) -> np.ndarray:
    return GRID.rasterize(MapElements(polygons, tuple(map(shapely.LineString, lines))), (0.0, 0.0), yaw)


@pytest.mark.parametrize(("width", "cells"), [(0.5, 26), (1.0, 39), (10.0, 273)])
def test_a_rectangle_is_filled_with_its_outline(width: float, cells: int) -> None:
    # 6 m are 12 cells, 13 corners of cells: 13 x 2, 13 x 3, 13 x 21
    assert drawn(shapely.box(-3, 0, 3, width)).sum() == cells


def test_a_line_is_three_cells_wide() -> None:
    mask = drawn(lines=([(-10, 0), (10, 0)],))
    assert mask.sum() == 125  # 41 cells along, three wide, and one more beyond each end
    assert set(np.nonzero(mask)[0]) == {99, 100, 101}
    assert mask[100].sum() == 43


def test_holes_clear_earlier_polygons_and_later_polygons_fill_holes() -> None:
    outer = shapely.box(-8, -8, 8, 8)
    ring = outer.difference(shapely.box(-4, -4, 4, 4))
    island = shapely.box(-2, -2, 2, 2)
    assert not drawn(outer, ring)[100, 100]
    assert not drawn(outer, ring)[100 + 8, 100]  # the hole's outline is cleared too
    assert drawn(outer, ring)[100 + 9, 100]
    assert drawn(ring, island)[100, 100]
    assert drawn(ring, island).sum() == 33**2 - 17**2 + 9**2


def test_rows_are_y_and_columns_are_x() -> None:
    rows, columns = np.nonzero(drawn(shapely.box(5, -9, 9, -8)))
    assert (set(rows), columns.min(), columns.max()) == ({82, 83, 84}, 110, 118)


def test_the_grid_turns_with_the_sensor() -> None:
    ahead = shapely.box(-1, 20, 1, 22)  # in the global frame; the sensor looks along y
    rows, columns = np.nonzero(drawn(ahead, yaw=np.pi / 2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (98, 102, 140, 144)


@pytest.mark.parametrize("far", [60.0, 1e3, 1e6])
def test_elements_outside_the_grid_are_not_drawn(far: float) -> None:
    assert not drawn(shapely.box(far, 0, far + 5, 5), lines=([(far, far), (far, -far)],)).any()
    assert not drawn().any()


def test_parts_of_a_line_that_leaves_the_grid_and_returns() -> None:
    mask = drawn(lines=([(40, 0), (60, 0), (60, 10), (40, 10)],))
    assert mask[100, 190]
    assert mask[120, 190]
    assert not mask[110].any()
