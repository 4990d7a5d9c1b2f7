"""Votes of the nearest neighbours, against a loop in float64 and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.heads import nearest_neighbours
from pc_ssl.heads.nearest_neighbours import NearestNeighbours, balanced_sample, equal_shares


def data(points: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features of three overlapping classes 1, 2 and 3."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(1, 4, (points,), generator=generator)
    return torch.randn(points, 6, generator=generator) + torch.eye(6)[label], label


def by_loop(bank: Tensor, label: Tensor, query: Tensor, k: int, temperature: float) -> list[int]:
    found = []
    for row in query.double().tolist():
        length = math.sqrt(sum(x * x for x in row))
        scores = []
        for other, name in zip(bank.double().tolist(), label.tolist(), strict=True):
            of = math.sqrt(sum(x * x for x in other))
            scores.append((sum(a * b for a, b in zip(row, other, strict=True)) / length / of, name))
        votes: dict[int, float] = {}
        for similarity, name in sorted(scores, reverse=True)[:k]:
            votes[name] = votes.get(name, 0.0) + math.exp(similarity / temperature)
        found.append(max(votes, key=lambda name: votes[name]))
    return found


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (20, 1.0), (500, 0.5)])
def test_predictions_are_those_of_a_loop(k: int, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_neighbours, "BLOCK", 700)  # blocks of 7 queries
    feature, label = data(100, 0)
    query, _ = data(40, 1)
    bank = NearestNeighbours(normalize(feature, dim=1), label, 4, k, temperature)
    assert bank.predict(3 * query).tolist() == by_loop(feature, label, query, k, temperature)


def test_predictions_are_those_of_scikit_learn() -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    feature, label = data(300, 2)
    query, _ = data(100, 3)
    judge = neighbors.KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    judge.fit(feature.numpy(), label.numpy())
    bank = NearestNeighbours(normalize(feature, dim=1), label, 4)
    assert bank.predict(query).tolist() == judge.predict(query.numpy()).tolist()


def test_a_near_vote_outweighs_many_far_ones() -> None:
    """One entry at the query, three at 60 degrees: exp(1 / 0.07) against 3 exp(0.5 / 0.07)."""
    far = torch.tensor([0.5, 3**0.5 / 2])
    bank = NearestNeighbours(torch.stack([torch.tensor([1.0, 0.0]), far, far, far]), torch.tensor([2, 1, 1, 1]), 3)
    assert bank.predict(torch.tensor([[5.0, 0.0]])).tolist() == [2]
    warm = NearestNeighbours(bank.feature, bank.label, 3, temperature=10.0)
    assert warm.predict(torch.tensor([[5.0, 0.0]])).tolist() == [1]


def test_a_point_can_be_excluded_from_its_own_neighbours() -> None:
    feature = normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), dim=1)
    bank = NearestNeighbours(feature, torch.tensor([1, 2, 3]), 4, k=2)
    assert bank.neighbours(feature)[1][:, 0].tolist() == [0, 1, 2]
    assert bank.neighbours(feature, exclude=torch.arange(3))[1].tolist() == [[1, 2], [0, 2], [1, 0]]


def test_no_query_gives_no_prediction() -> None:
    assert NearestNeighbours(torch.eye(2), torch.tensor([1, 2]), 3).predict(torch.zeros(0, 2)).tolist() == []


@pytest.mark.parametrize("changes", [{"k": 0}, {"temperature": 0.0}, {"feature": torch.zeros(0, 2)}])
def test_values_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match="NearestNeighbours"):
        NearestNeighbours(**{"feature": torch.eye(2), "label": torch.tensor([1, 2]), "num_classes": 3} | changes)


def test_rare_classes_give_all_their_points_and_the_others_share_the_rest() -> None:
    label = torch.tensor([1] * 100 + [2] * 2 + [3] * 50)
    drawn = balanced_sample(label, 20, torch.Generator().manual_seed(0))
    assert torch.bincount(label[drawn]).tolist() == [0, 9, 2, 9]
    assert len(drawn.unique()) == 20
    again = balanced_sample(label, 20, torch.Generator().manual_seed(1))
    assert drawn.tolist() != again.tolist()
    assert equal_shares([3, 3], 100) == [3, 3]
