"""Rooms before and after they are scanned."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from data_prep.scannet_names import BENCHMARK_IDS, LABEL_CLASSES
from data_prep.simulate.indoor.categories import NYU40_OF_CATEGORY
from data_prep.simulate.indoor.room import KINDS, Room, build_room
from data_prep.simulate.indoor.scan import Camera, Studio

ROOMS = 40


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    return [build_room(index, np.random.default_rng((3, index))) for index in range(ROOMS)]


@pytest.fixture(scope="module")
def studio(rooms: list[Room]) -> Studio:
    return Studio(rooms[4], np.random.default_rng(0))  # a bathroom


def test_all_classes_of_the_benchmark_occur_several_times(rooms: list[Room]) -> None:
    counts = dict.fromkeys(BENCHMARK_IDS, 0)
    for room in rooms:
        for nyu40 in {NYU40_OF_CATEGORY[piece.category] for piece in room.pieces}:
            counts[nyu40] = counts.get(nyu40, 0) + 1
    assert {LABEL_CLASSES[k + 1]: counts[nyu40] for k, nyu40 in enumerate(BENCHMARK_IDS) if counts[nyu40] < 3} == {}


def test_ids_are_those_of_scannets_label_table() -> None:
    """The table is part of open3d's data sets."""
    import open3d

    tables = list(Path(open3d.__file__).parent.rglob("scannetv2-labels.combined.tsv"))
    if not tables:
        pytest.skip("open3d's package has no scannetv2-labels.combined.tsv")
    with tables[0].open(newline="") as file:
        listed = {row["raw_category"]: int(row["nyu40id"]) for row in csv.DictReader(file, delimiter="\t")}
    assert {name: listed.get(name) for name in NYU40_OF_CATEGORY} == NYU40_OF_CATEGORY


@pytest.mark.parametrize(("category", "nyu40"), [("wardrobe", 39), ("rug", 40), ("backpack", 40), ("shelf", 15)])
def test_ids_that_differ_from_the_names(category: str, nyu40: int) -> None:
    assert NYU40_OF_CATEGORY[category] == nyu40


def test_the_kinds_of_rooms_alternate(rooms: list[Room]) -> None:
    assert [room.kind for room in rooms[: len(KINDS)]] == [kind for kind, *_ in KINDS]


def test_pieces_are_inside_the_walls(rooms: list[Room]) -> None:
    for room in rooms:
        for piece in room.pieces:
            low, high = piece.mesh.bounds()
            reach = 0.25 if piece.category in ("wall", "door", "window") else 0.02
            if piece.category == "door":
                reach = 0.95  # ajar
            assert (low >= -reach).all(), piece.category
            assert (high <= np.array(room.size) + reach).all(), piece.category


def test_furniture_does_not_intersect(rooms: list[Room]) -> None:
    """Pieces on the floor do not share any volume."""
    alone = ("wardrobe", "bookshelf", "refrigerator", "bathtub", "toilet", "couch", "dresser")
    for room in rooms:
        boxes = [piece.mesh.bounds() for piece in room.pieces if piece.category in alone]
        for k, (low, high) in enumerate(boxes):
            for other_low, other_high in boxes[:k]:
                overlap = np.minimum(high, other_high) - np.maximum(low, other_low)
                assert (overlap < 0.03).any()


def test_no_piece_is_a_bare_box(rooms: list[Room]) -> None:
    """Classes differ in shape: except boxes, books and keyboards, every piece has more triangles than a box (12)."""
    plain = {"box", "book", "keyboard", "wall", "ceiling", "floor"}
    for room in rooms:
        for piece in room.pieces:
            assert piece.category in plain or piece.mesh.num_triangles > 12, piece.category


def test_doors_can_be_walked_through(rooms: list[Room]) -> None:
    for room in rooms:
        (door,) = (piece for piece in room.pieces if piece.category == "door")
        low, high = door.mesh.bounds()
        middle = 0.5 * (low + high)[:2]
        inward = np.array(room.size[:2]) * 0.5 - middle
        inward[np.argmin(np.abs(inward) / np.array(room.size[:2]))] = 0.0  # across the door's wall
        spot = middle + 0.5 * inward / np.linalg.norm(inward)
        for piece in room.pieces:
            if piece.category in ("wall", "floor", "ceiling", "door", "rug"):
                continue
            low, high = piece.mesh.bounds()
            inside = (spot > low[:2]).all() and (spot < high[:2]).all() and low[2] < 1.8
            assert not inside, piece.category


def test_the_same_seed_builds_the_same_room() -> None:
    first, second = (build_room(3, np.random.default_rng(7)) for _ in range(2))
    other = build_room(3, np.random.default_rng(8))
    assert all(np.array_equal(a.mesh.vertex, b.mesh.vertex) for a, b in zip(first.pieces, second.pieces, strict=True))
    assert first.size != other.size


def test_cameras_are_in_the_room_and_see_it(studio: Studio) -> None:
    camera = Camera.of_size((64, 48))
    measured = []
    for pose in studio.path(12):
        assert (pose[:3, 3] > 0.2).all()
        assert (pose[:3, 3] < np.array(studio.room.size) - 0.1).all()
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
        measured.append((studio.depth(camera, pose) > 0).mean())
    assert np.mean(measured) > 0.5
    assert min(measured) > 0.2


def test_views_show_furniture_and_not_bare_walls(rooms: list[Room]) -> None:
    """Furniture, doors and windows cover at least a tenth of every view."""
    plain = ("wall", "ceiling", "floor")
    shares, camera = [], Camera.of_size((48, 36))
    for index in range(10):
        studio = Studio(rooms[index], np.random.default_rng(index))
        is_thing = np.array([piece.category not in plain for piece in studio.room.pieces])
        for pose in studio.path(20):
            hits = studio.shell.cast(camera.rays(pose))
            shown = studio.piece_of_triangle[hits.triangle[(hits.triangle >= 0) & (hits.distance > 0.4)]]
            shares.append(is_thing[shown].sum() / (48 * 36))
    assert min(shares) > 0.1
    assert np.median(shares) > 0.25


def test_depth_is_on_the_surfaces(studio: Studio) -> None:
    """Each back-projected pixel is near the mesh: intrinsics, pose and depth are consistent."""
    import open3d as o3d

    camera, (pose, *_) = Camera.of_size((64, 48)), studio.path(3)
    depth = 0.001 * studio.depth(camera, pose)
    v, u = np.nonzero(depth)
    z = depth[v, u]
    k = camera.intrinsic
    points = np.stack([(u - k[0, 2]) / k[0, 0] * z, (v - k[1, 2]) / k[1, 1] * z, z], 1) @ pose[:3, :3].T + pose[:3, 3]
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(studio.mesh.vertex), o3d.core.Tensor(studio.mesh.triangle.astype(np.uint32)))
    away = scene.compute_distance(o3d.core.Tensor(points.astype(np.float32))).numpy()
    assert np.percentile(away, 95) < 0.03


def test_images_are_neither_black_nor_overexposed(rooms: list[Room]) -> None:
    for index in (0, 1, 3):
        studio = Studio(rooms[index], np.random.default_rng(index))
        images = np.stack([studio.image(Camera.of_size((48, 36)), pose).color for pose in studio.path(6)])
        assert 70 < np.median(images) < 190
        assert (images > 250).mean() < 0.1
        assert images.std() > 20
