"""Coincident points have the labels of one point and are searched only once."""

import numpy as np
import pytest

from data_prep.regions import GENERATORS, graph, range_adaptive
from data_prep.regions.distinct import distinct


def test_positions_are_in_the_order_of_their_first_points() -> None:
    xyz = np.array([[2, 0, 0], [1, 0, 0], [2, 0, 0], [0, -0.0, 5], [1, 0, 0], [0, 0.0, 5]], np.float32)
    places = distinct(xyz)
    assert places.first.tolist() == [0, 1, 3]
    assert places.of_point.tolist() == [0, 1, 0, 2, 1, 2]
    assert places.points.tolist() == [2, 2, 2]
    assert [len(part) for part in distinct(xyz[:0])] == [0, 0, 0]


def street(rng: np.random.Generator) -> np.ndarray:
    blocks = rng.uniform(-20, 20, (12, 1, 3)) * [1, 1, 0.05] + rng.uniform(-0.6, 0.6, (12, 60, 3))
    return blocks.reshape(-1, 3).astype(np.float32)


@pytest.mark.parametrize("name", ["range_adaptive", "dbscan3d", "vccs"])
def test_repeated_points_get_the_labels_of_the_first(name: str) -> None:
    xyz = street(np.random.default_rng(0))
    ground, twice = np.zeros(len(xyz), bool), np.concatenate([xyz, xyz])
    region = GENERATORS[name](twice, np.zeros(len(twice), bool), twice[:, 2])
    np.testing.assert_array_equal(region[: len(xyz)], region[len(xyz) :])
    assert region.max() >= GENERATORS[name](xyz, ground, xyz[:, 2]).max() > 1


@pytest.mark.parametrize(
    ("name", "module", "search", "argument"),
    [("range_adaptive", range_adaptive, "join_neighbours", 0), ("graph", graph, "nearest", 0)],
)
def test_the_search_gets_each_position_once(
    name: str, module: object, search: str, argument: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs of coincident points would make the search quadratic: none may reach it."""
    seen = []
    original = getattr(module, search)

    def counted(*arguments: object) -> object:
        seen.append(len(arguments[argument]))  # type: ignore[arg-type]
        return original(*arguments)

    monkeypatch.setattr(module, search, counted)
    xyz = street(np.random.default_rng(0))
    piled = np.concatenate([xyz, np.tile(xyz[:1], (40_000, 1))])
    region = GENERATORS[name](piled, np.zeros(len(piled), bool), piled[:, 2])
    assert seen == [len(xyz)]
    assert (region[len(xyz) :] == region[0]).all()
