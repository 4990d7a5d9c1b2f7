import pytest
import torch

from pc_ssl.geometry import BevGrid

GRID = BevGrid(lower=(-2.0, -1.0, 0.0), upper=(2.0, 1.0, 3.0), voxel_size=(0.5, 0.25, 1.0))


def test_the_shape_follows_from_range_and_voxel_size() -> None:
    assert GRID.shape == (8, 8, 3)


def test_points_on_the_lower_edge_are_inside_and_on_the_upper_edge_outside() -> None:
    index, inside = GRID.voxel_of(
        torch.tensor([[-2.0, -1.0, 0.0], [1.99, 0.99, 2.99], [2.0, 0.0, 0.0], [0.0, 0.0, -0.01]])
    )
    assert inside.tolist() == [True, True, False, False]
    assert index[:2].tolist() == [[0, 0, 0], [7, 7, 2]]


def test_the_box_spans_minus_one_to_one() -> None:
    corners = torch.tensor([[-2.0, -1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 9.0]])
    assert GRID.normalized_xy(corners).tolist() == [[-1, -1], [1, 1], [0, 0]]


@pytest.mark.parametrize("size", [0.3, 0.0, -1.0])
def test_a_voxel_size_that_does_not_divide_the_range_is_an_error(size: float) -> None:
    with pytest.raises(ValueError, match="along x"):
        BevGrid(lower=(0.0, 0.0, 0.0), upper=(1.0, 1.0, 1.0), voxel_size=(size, 0.5, 0.5))
