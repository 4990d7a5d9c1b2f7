import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pc_ssl.heads.box_coding import BoxTargets, MapCells
from pc_ssl.heads.heat_map import gaussian_radius, highest, local_maxima, target_heat_map

SIDES = st.floats(0.1, 50.0)


@given(length=SIDES, width=SIDES, overlap=st.floats(0.05, 0.95))
def test_the_radius_is_the_smallest_of_the_reference_codes_three(length: float, width: float, overlap: float) -> None:
    total, area = length + width, length * width
    radii = []
    for a, b, c in (
        (1, total, area * (1 - overlap) / (1 + overlap)),
        (4, 2 * total, (1 - overlap) * area),
        (4 * overlap, -2 * overlap * total, (overlap - 1) * area),
    ):
        radii.append((b + math.sqrt(b * b - 4 * a * c)) / 2)
    sides = torch.tensor([length, width], dtype=torch.float64)
    assert gaussian_radius(sides[0], sides[1], overlap).item() == pytest.approx(min(radii), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_target_is_that_of_a_loop(spread_boxes, cells: MapCells, seed: int) -> None:
    boxes = spread_boxes(seed)
    boxes.box[:, 3:5] *= 5  # so that Gaussians meet, and reach beyond the map
    targets = BoxTargets.of([boxes, spread_boxes(seed + 10)], 10, cells)
    expected = torch.zeros(2, 10, 32, 40, dtype=torch.float64)
    for frame, label, box in zip(targets.frame.tolist(), targets.label.tolist(), targets.box.tolist(), strict=True):
        column, row = math.floor(box[0] + 20), math.floor(box[1] + 16)
        inner = (0.1 * (box[3] + box[4])) ** 2 + 4 * 0.1 * 0.9 * box[3] * box[4]
        radius = max(2, int(math.sqrt(inner) - 0.1 * (box[3] + box[4])))
        sigma = (2 * radius + 1) / 6
        for y in range(max(row - radius, 0), min(row + radius + 1, 32)):
            for x in range(max(column - radius, 0), min(column + radius + 1, 40)):
                value = math.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))
                expected[frame, label, y, x] = max(float(expected[frame, label, y, x]), value)
    found = target_heat_map(targets, cells, 2, 10, min_overlap=0.1, min_radius=2)
    torch.testing.assert_close(found, expected.float())
    assert (found == 1).sum() == len(targets)


def test_no_boxes_give_an_empty_map(spread_boxes, cells: MapCells) -> None:
    targets = BoxTargets.of([spread_boxes(0)[torch.zeros(0, dtype=torch.long)]], 10, cells)
    assert target_heat_map(targets, cells, 1, 10, 0.1, 2).eq(0).all()


def test_the_order_of_boxes_does_not_matter(spread_boxes, cells: MapCells) -> None:
    targets = BoxTargets.of([spread_boxes(0)], 10, cells)
    turned = targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(1))]
    assert torch.equal(*(target_heat_map(of, cells, 1, 10, 0.1, 2) for of in (targets, turned)))


def test_local_maxima_are_found_at_edges_too() -> None:
    heat_map = torch.zeros(1, 1, 5, 5) - torch.arange(25.0).reshape(1, 1, 5, 5) / 100
    heat_map[0, 0, 0, 0], heat_map[0, 0, 3, 3], heat_map[0, 0, 3, 4] = 2.0, 3.0, 1.0
    found = local_maxima(heat_map)[0, 0]
    assert found[0, 0]
    assert found[3, 3]
    assert not found[3, 4]


def test_the_highest_cells_come_first_over_all_classes() -> None:
    heat_map = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    value, kind, cell = highest(heat_map, 7)
    for b in range(2):
        assert torch.equal(value[b], heat_map[b].flatten().sort(descending=True).values[:7])
        assert torch.equal(heat_map[b, kind[b], cell[b] // 5, cell[b] % 5], value[b])
    assert highest(heat_map, 1000)[0].shape == (2, 60)
