"""Voxels and their mean features against a loop over points."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.geometry import BevGrid
from pc_ssl.models.voxelize import covering_grid, cylindrical, voxel_channels, voxelize
from pc_ssl.structures import PointBatch

GRID = BevGrid((-2.0, -1.0, -1.0), (2.0, 1.0, 1.0), (0.5, 0.25, 1.0))


def cloud(count: int, seed: int, spread: float = 1.5, features: int = 2) -> torch.Tensor:
    return torch.randn(count, 3 + features, generator=torch.Generator().manual_seed(seed)) * spread


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=3), st.integers(0, 10_000))
def test_voxels_are_those_of_a_loop_over_points(counts: list[int], seed: int) -> None:
    clouds = [cloud(count, seed + b) for b, count in enumerate(counts)]
    expected: dict[tuple[int, ...], list[torch.Tensor]] = {}
    key_of_point = []
    for b, points in enumerate(clouds):
        for point in points.double():
            cell = [math.floor(((point[a] - GRID.lower[a]) / GRID.voxel_size[a]).float()) for a in range(3)]
            if not all(0 <= c < n for c, n in zip(cell, GRID.shape, strict=True)):
                key_of_point.append(None)
                continue
            offset = [(point[a] - GRID.lower[a]) / GRID.voxel_size[a] - cell[a] - 0.5 for a in range(3)]
            key = (b, cell[2], cell[1], cell[0])
            expected.setdefault(key, []).append(torch.tensor([*offset, *point[2:]]))
            key_of_point.append(key)
    batch = PointBatch.pack(clouds)
    if not expected:
        with pytest.raises(ValueError, match="none of"):
            voxelize(batch, GRID)
        return
    voxels = voxelize(batch, GRID)
    order = sorted(expected)
    assert [tuple(row) for row in voxels.index.tolist()] == order
    assert voxels.voxel_of_point.tolist() == [-1 if key is None else order.index(key) for key in key_of_point]
    means = torch.stack([torch.stack(expected[key]).mean(0) for key in order]).float()
    torch.testing.assert_close(voxels.feature, means, atol=1e-5, rtol=1e-5)


def test_voxel_features_do_not_change_with_the_order_of_points() -> None:
    points = cloud(200, 0)
    shuffled = points[torch.randperm(200, generator=torch.Generator().manual_seed(1))]
    a, b = voxelize(PointBatch.pack([points]), GRID), voxelize(PointBatch.pack([shuffled]), GRID)
    assert torch.equal(a.index, b.index)
    torch.testing.assert_close(a.feature, b.feature)


def test_points_read_the_feature_of_their_voxel_and_zeros_outside() -> None:
    points = torch.tensor([[0.1, 0.1, 0.1, 1.0], [50.0, 0.0, 0.0, 1.0], [0.12, 0.12, 0.12, 1.0], [1.9, 0.9, 0.9, 1.0]])
    voxels = voxelize(PointBatch.pack([points]), GRID)
    assert voxels.at_points(torch.tensor([[5.0], [7.0]])).flatten().tolist() == [5.0, 0.0, 5.0, 7.0]


def test_a_frame_without_a_point_inside_leaves_the_others_their_number() -> None:
    far = torch.full((3, 4), 100.0)
    near = torch.zeros(2, 4)
    voxels = voxelize(PointBatch.pack([far, near]), GRID)
    assert voxels.num_frames == 2
    assert voxels.index[:, 0].tolist() == [1]


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 10_000),
    st.floats(0.05, 2.0),
    st.sampled_from([1, 2, 16]),
    st.floats(0.01, 200.0),
)
def test_covering_grid_holds_every_point_and_stays_fixed(seed: int, size: float, multiple: int, spread: float) -> None:
    points = cloud(30, seed, spread)
    grid = covering_grid(points[:, :3], (size, size, 2 * size), multiple)
    index, inside = grid.voxel_of(points[:, :3])
    assert inside.all()
    assert all(n % multiple == 0 for n in grid.shape)
    blocks = [low / (edge * multiple) for low, edge in zip(grid.lower, grid.voxel_size, strict=True)]
    assert blocks == pytest.approx([round(block) for block in blocks], abs=1e-6)
    assert (index >= 0).all()


@pytest.mark.parametrize("points", [torch.zeros(0, 4), torch.tensor([[0.0, float("nan"), 0.0, 1.0]])])
def test_no_grid_around_nothing(points: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="cannot lay a grid"):
        covering_grid(points[:, :3], (0.1, 0.1, 0.1), 4)


def test_means_and_first_points_by_hand() -> None:
    """Two points of one voxel and one of another; columns x, y, z, intensity, time lag."""
    points = torch.tensor([[0.1, 0.3, 0.2, 0.5, 0.0], [3.2, 0.1, 0.1, 0.9, 0.1], [0.3, 0.1, 0.4, 0.1, 0.2]])
    batch, grid = PointBatch.pack([points]), BevGrid((0.0, 0.0, 0.0), (4.0, 2.0, 1.0), (0.5, 0.5, 0.5))
    mean = voxelize(batch, grid, "mean")
    assert mean.voxel_of_point.tolist() == [0, 1, 0]
    torch.testing.assert_close(mean.feature, torch.tensor([[0.2, 0.2, 0.3, 0.3, 0.1], [3.2, 0.1, 0.1, 0.9, 0.1]]))
    assert torch.equal(voxelize(batch, grid, "first").feature, points[:2])
    assert torch.equal(voxelize(batch, grid, "first_features").feature, points[:2, 3:])


@pytest.mark.parametrize(("kind", "channels"), [("offset", 6), ("mean", 5), ("first", 5), ("first_features", 2)])
def test_channels_of_voxels_are_those_of_their_features(kind: str, channels: int) -> None:
    points = torch.rand(20, 5)
    assert voxel_channels(kind, 2) == channels  # type: ignore[arg-type]
    assert voxelize(PointBatch.pack([points]), GRID, kind).feature.shape[1] == channels  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "features"), [("median", 1), ("first_features", 0)])
def test_unknown_or_empty_features_of_voxels_are_refused(kind: str, features: int) -> None:
    with pytest.raises(ValueError, match=kind):
        voxel_channels(kind, features)  # type: ignore[arg-type]


def test_cylindrical_coordinates_by_hand() -> None:
    found = cylindrical(torch.tensor([[3.0, 4.0, -1.0], [0.0, -2.0, 0.5], [-1.0, 0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[5.0, 53.130102, -1.0], [2.0, -90.0, 0.5], [1.0, 180.0, 0.0]]))
