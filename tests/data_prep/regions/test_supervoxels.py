"""VCCS and graph-based over-segmentation, and their components."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.regions.graph import GraphRegions, felzenszwalb, mesh_segments
from data_prep.regions.neighbours import nearest, normals_of
from data_prep.regions.numbering import numbered
from data_prep.regions.vccs import VccsRegions
from data_prep.regions.voxels import thinned

SEEDS = st.integers(0, 2**32 - 1)


def corner(rng: np.random.Generator, points: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Points on two walls of 4 x 2 metres that meet at a right angle, and the wall of each."""
    along, up = rng.uniform(0, 4, points), rng.uniform(0, 2, points)
    wall = rng.integers(0, 2, points)
    xyz = np.where(wall[:, None] == 0, np.stack([along, 0 * along, up], 1), np.stack([0 * along, along, up], 1))
    return xyz.astype(np.float32), wall


def cube(steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The six faces of a cube, each with a separate grid.

    vertex [N, 3], face [F, 3] counter-clockwise from outside, side [N].
    """
    grid = np.linspace(-1, 1, steps)
    u, v = (value.ravel() for value in np.meshgrid(grid, grid, indexing="ij"))
    vertex, face, side = [], [], []
    for axis in range(3):
        for sign in (-1, 1):
            points = np.empty((len(u), 3))
            points[:, axis], points[:, (axis + 1) % 3], points[:, (axis + 2) % 3] = 1.05 * sign, u, v
            start = sum(map(len, vertex))
            quad = np.array([[i * steps + j for j in range(steps - 1)] for i in range(steps - 1)]).ravel() + start
            upper, lower = (
                np.stack([quad, quad + steps, quad + 1], 1),
                np.stack([quad + 1, quad + steps, quad + steps + 1], 1),
            )
            triangles = np.concatenate([upper, lower])
            vertex.append(points)
            face.append(triangles if sign > 0 else triangles[:, ::-1])
            side.append(np.full(len(u), len(side)))
    return np.concatenate(vertex), np.concatenate(face), np.concatenate(side)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(0, 60), st.sampled_from([0.1, 0.7, 3.0]))
def test_thinning_takes_the_mean_of_each_voxel(seed: int, points: int, size: float) -> None:
    xyz = np.random.default_rng(seed).uniform(-2, 2, (points, 3))
    mean, voxel = thinned(xyz, size)
    cells = [tuple(np.floor(point / size)) for point in xyz]
    assert len(mean) == len(set(cells))
    for row, cell in enumerate(cells):
        members = [xyz[other] for other in range(points) if cells[other] == cell]
        assert np.allclose(mean[voxel[row]], np.mean(members, axis=0))


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(0, 30), st.integers(1, 8))
def test_nearest_neighbours_are_those_of_all_distances(seed: int, points: int, count: int) -> None:
    xyz = np.random.default_rng(seed).integers(0, 4, (points, 3)).astype(float)  # with ties and coincident points
    distance, row = nearest(xyz, count)
    everything = np.linalg.norm(xyz[:, None] - xyz, axis=2)
    np.fill_diagonal(everything, np.inf)
    wanted = min(count, max(points - 1, 0))
    assert row.shape == (points, wanted)
    assert np.allclose(distance, np.sort(everything, axis=1)[:, :wanted])
    assert not (row == np.arange(points)[:, None]).any() or wanted < points - 1
    for point in range(points):
        assert len(set(row[point])) == wanted
        assert np.allclose(np.linalg.norm(xyz[row[point]] - xyz[point], axis=1), distance[point])


def test_normals_are_perpendicular_to_the_plane() -> None:
    rng = np.random.default_rng(0)
    normal = np.array([2.0, -1.0, 2.0]) / 3
    xyz = rng.normal(size=(200, 3))
    xyz -= (xyz @ normal)[:, None] * normal
    found = normals_of(xyz, nearest(xyz, 10)[1])
    assert np.allclose(np.abs(found @ normal), 1)
    assert normals_of(xyz[:1], nearest(xyz[:1], 10)[1]).shape == (1, 3)


def test_numbers_have_no_gaps_and_follow_the_first_points() -> None:
    region = np.array([7, -1, 3, 3, 9, 7, 3, 9, -1, 5])
    assert numbered(region).tolist() == [0, -1, 1, 1, 2, 0, 1, 2, -1, 3]
    assert numbered(region, min_points=2).tolist() == [0, -1, 1, 1, 2, 0, 1, 2, -1, -1]
    assert numbered(region, largest=2).tolist() == [0, -1, 1, 1, -1, 0, 1, -1, -1, -1]
    assert numbered(region, largest=0).tolist() == [-1] * 10
    assert numbered(region[:0]).tolist() == []
    assert numbered(region).dtype == np.int32


def walked(nodes: int, edges: list[tuple[int, int, float]], threshold: float, min_size: int) -> list[frozenset[int]]:
    """Felzenszwalb and Huttenlocher's algorithm, written with sets."""
    segment = {node: frozenset([node]) for node in range(nodes)}
    heaviest = {segment[node]: 0.0 for node in range(nodes)}
    ordered = sorted(edges, key=lambda edge: edge[2])

    def unite(a: frozenset[int], b: frozenset[int], weight: float) -> None:
        union = a | b
        heaviest[union] = weight
        segment.update(dict.fromkeys(union, union))

    for first, second, weight in ordered:
        a, b = segment[first], segment[second]
        if a != b and weight <= min(heaviest[a] + threshold / len(a), heaviest[b] + threshold / len(b)):
            unite(a, b, weight)
    for first, second, weight in ordered:
        a, b = segment[first], segment[second]
        if a != b and min(len(a), len(b)) < min_size:
            unite(a, b, weight)
    return [segment[node] for node in range(nodes)]


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 25), st.integers(0, 60), st.sampled_from([0.0, 0.3, 2.0]), st.integers(1, 5))
def test_graph_segments_are_those_of_the_paper(
    seed: int, nodes: int, edges: int, threshold: float, min_size: int
) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, nodes, (2, edges))
    weight = rng.integers(0, 8, edges) / 8  # with ties
    label = felzenszwalb(np.ones(nodes, np.int64), first, second, weight, threshold, min_size)
    segment = walked(
        nodes, list(zip(first.tolist(), second.tolist(), weight.tolist(), strict=True)), threshold, min_size
    )
    for node in range(nodes):
        assert set(np.flatnonzero(label == label[node])) == segment[node]


def test_flat_parts_of_a_mesh_are_one_segment_each() -> None:
    vertex, face, side = cube(9)
    label = mesh_segments(vertex, face)
    assert np.array_equal(label, side)


def bumpy_sheet(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A grid of size x size vertices with hills, and its 2 (size - 1)^2 triangles."""
    x, y = (value.ravel() for value in np.meshgrid(np.linspace(0, 2, size), np.linspace(0, 2, size), indexing="ij"))
    z = 0.12 * np.sin(5 * x) * np.cos(4 * y) + 0.03 * np.sin(17 * x + 3 * y)
    quad = np.array([[i * size + j for j in range(size - 1)] for i in range(size - 1)]).ravel()
    face = np.concatenate(
        [np.stack([quad, quad + size, quad + 1], 1), np.stack([quad + 1, quad + size, quad + size + 1], 1)]
    )
    return np.stack([x, y, z], 1), face


def segmentator_edges(vertex: np.ndarray, face: np.ndarray) -> list[tuple[int, int, float]]:
    """The directed edges of every face and their weights, one vertex and one face at a time."""
    normals: list[list[np.ndarray]] = [[] for _ in vertex]
    for i1, i2, i3 in face:
        normal = np.cross(vertex[i2] - vertex[i1], vertex[i3] - vertex[i1])
        for corner_of in (i1, i2, i3):
            normals[corner_of].append(normal / np.linalg.norm(normal))
    mean = [np.mean(of, axis=0) for of in normals]
    edges = []
    for i1, i2, i3 in face:
        for a, b in ((i1, i2), (i1, i3), (i3, i2)):
            weight = 1 - float(mean[a] @ mean[b])
            convex = mean[b] @ (vertex[b] - vertex[a]) / np.linalg.norm(vertex[b] - vertex[a]) > 0
            edges.append((int(a), int(b), weight**2 if convex else weight))
    return edges


def test_segments_of_a_bumpy_sheet_are_those_of_the_segmentator() -> None:
    vertex, face = bumpy_sheet(24)
    label = mesh_segments(vertex, face)
    segment = walked(len(vertex), segmentator_edges(vertex, face), 0.01, 20)
    assert 3 < len(set(segment)) < 60
    disputed = [node for node in range(len(vertex)) if set(np.flatnonzero(label == label[node])) != segment[node]]
    assert disputed == []


def test_a_bent_sheet_is_cut_where_it_is_concave_rather_than_convex() -> None:
    x, y = (value.ravel() for value in np.meshgrid(np.linspace(-1, 1, 41), np.linspace(0, 1, 11), indexing="ij"))
    quad = np.array([[i * 11 + j for j in range(10)] for i in range(40)]).ravel()
    face = np.concatenate([np.stack([quad, quad + 11, quad + 1], 1), np.stack([quad + 1, quad + 11, quad + 12], 1)])
    ridge, valley = (np.stack([x, y, curve * x**2], 1) for curve in (-1, 1))
    # From column to column normals turn by up to 0.1: weight 0.005, more than threshold / 11 vertices, or its square.
    count = [len(np.unique(mesh_segments(sheet, face, threshold=0.01, min_vertices=1))) for sheet in (ridge, valley)]
    assert count[0] <= 2  # the means of two unit normals are shorter than one, most at the sheet's ends
    assert count[1] > 10


def test_normals_of_a_cloud_separate_two_walls() -> None:
    xyz, wall = corner(np.random.default_rng(0))
    far = np.abs(xyz[:, :2]).sum(axis=1) > 0.4  # normals are mixed at the corner
    region = GraphRegions()(xyz, np.zeros(len(xyz), bool), xyz[:, 2])
    largest = [np.bincount(region[(wall == side) & far & (region >= 0)]).argmax() for side in (0, 1)]
    assert largest[0] != largest[1]
    for side in (0, 1):
        assert ((region == largest[side]) & far & (wall != side)).sum() == 0
        assert (region[far & (wall == side)] == largest[side]).mean() > 0.9


def test_supervoxels_separate_two_walls_and_have_about_the_size_of_a_seed() -> None:
    xyz, wall = corner(np.random.default_rng(0))
    region = VccsRegions(voxel_size=0.03, seed_resolution=0.8)(xyz, np.zeros(len(xyz), bool), xyz[:, 2])
    assert (region >= 0).all()
    right = sum(np.bincount(wall[region == r]).max() for r in range(region.max() + 1))
    assert right > 0.97 * len(xyz)
    assert 10 < region.max() + 1 < 60  # 2 walls of 4 x 2 m in cells of 0.8 m: 30 where cells and walls meet
    for r in range(region.max() + 1):
        assert np.ptp(xyz[region == r], axis=0).max() < 3 * 0.8


def test_a_supervoxel_does_not_cross_a_gap() -> None:
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0, 0.4, (200, 3)).astype(np.float32)
    xyz[100:, 0] += 1.0  # within one cell of the seeds' grid of 2 m, but two blobs
    region = VccsRegions(seed_resolution=2.0, neighbours=6)(xyz, np.zeros(200, bool), xyz[:, 2])
    assert np.array_equal(region, np.arange(200) >= 100)


@pytest.mark.parametrize("regions", [VccsRegions(), GraphRegions()])
def test_small_supervoxels_and_ground_are_not_regions(regions: VccsRegions | GraphRegions) -> None:
    rng = np.random.default_rng(0)
    xyz = np.concatenate([rng.uniform(0, 0.5, (40, 3)), rng.uniform(8, 8.5, (4, 3))]).astype(np.float32)
    ground = np.arange(44) < 5
    region = regions(xyz, ground, xyz[:, 2])
    assert (region[ground] == -1).all()
    assert (region[5:40] >= 0).all()
    assert (region[40:] == -1).all()
