"""Features read at points, against torch's sampling."""

import pytest
import torch
from torch import Tensor, nn

from pc_ssl.geometry import BevGrid
from pc_ssl.models.features import BevFeatures, PointFeatures
from pc_ssl.structures import PointBatch

GRID = BevGrid((-8.0, -4.0, -1.0), (8.0, 4.0, 1.0), (0.5, 0.5, 0.5))


def batch(spread: float) -> PointBatch:
    generator = torch.Generator().manual_seed(0)
    return PointBatch.pack([torch.randn(count, 4, generator=generator) * spread for count in (50, 0, 80)])


def bev(height: int = 4, width: int = 8) -> Tensor:
    return torch.randn(3, 5, height, width, generator=torch.Generator().manual_seed(1), requires_grad=True)


def sampled_by_torch(bev: Tensor, points: PointBatch) -> Tensor:
    rows = []
    for b, cloud in enumerate(points.xyz.split(points.offsets.diff().tolist())):
        grid = (cloud[:, :2] / torch.tensor([8.0, 4.0]))[None, None]
        row = nn.functional.grid_sample(bev[b : b + 1], grid, padding_mode="border", align_corners=False)[0, :, 0].T
        inside = (cloud[:, 0].abs() < 8) & (cloud[:, 1].abs() < 4)
        rows.append(row * inside[:, None])
    return torch.cat(rows)


@pytest.mark.parametrize("spread", [1.0, 6.0])
@pytest.mark.parametrize("shape", [(4, 8), (16, 32), (1, 1)])
def test_bev_features_agree_with_grid_sample(spread: float, shape: tuple[int, int]) -> None:
    mine, other = bev(*shape), bev(*shape)
    points = batch(spread)
    feature, expected = BevFeatures(mine, GRID).at_points(points), sampled_by_torch(other, points)
    torch.testing.assert_close(feature, expected)
    feature.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mine.grad, other.grad)


def test_rows_run_along_y_and_columns_along_x() -> None:
    values = torch.zeros(1, 1, 4, 8)
    values[0, 0, 3, 0] = 1.0  # y near its upper end, x near its lower end
    points = PointBatch.pack([torch.tensor([[-7.0, 3.0, 0.0], [7.0, -3.0, 0.0]])])
    assert BevFeatures(values, GRID).at_points(points).flatten().tolist() == [1.0, 0.0]


def test_points_outside_the_box_give_zeros_whatever_their_height() -> None:
    points = PointBatch.pack([torch.tensor([[8.0, 0.0, 0.0], [0.0, -4.1, 0.0], [0.0, 0.0, 50.0]])])
    feature = BevFeatures(torch.ones(1, 2, 4, 8), GRID).at_points(points)
    assert feature.tolist() == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]


def test_chosen_rows_are_rows_of_the_whole() -> None:
    points, rows = batch(3.0), torch.tensor([3, 129, 0, 3, 60])
    whole = BevFeatures(bev(), GRID).at_points(points)
    torch.testing.assert_close(BevFeatures(bev(), GRID).at_points(points, rows), whole[rows])
    feature = PointFeatures(torch.randn(130, 2))
    assert torch.equal(feature.at_points(points, rows), feature.feature[rows])
    voxel = torch.arange(130) % 3 - 1  # of two voxels; -1: in none
    shared = PointFeatures(torch.tensor([[5.0], [7.0]]), voxel)
    assert shared.at_points(points).flatten().tolist() == [[0.0, 5.0, 7.0][int(v) + 1] for v in voxel]
    assert shared.at_points(points, rows).flatten().tolist() == [0.0, 0.0, 0.0, 0.0, 0.0]
    assert shared.at_points(points, torch.tensor([1, 2, 4])).flatten().tolist() == [5.0, 7.0, 5.0]


def test_features_of_other_points_are_refused() -> None:
    with pytest.raises(ValueError, match="129 features for 130 points"):
        PointFeatures(torch.zeros(129, 2)).at_points(batch(1.0))
    with pytest.raises(ValueError, match="holds 2 frames, the points 3"):
        BevFeatures(torch.zeros(2, 2, 4, 8), GRID).at_points(batch(1.0))
