import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses import info_nce, similarity
from pc_ssl.losses.objectives import SymmetricInfoNCE


def embeddings(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    rng = np.random.default_rng(seed)
    return normalize(torch.from_numpy(rng.normal(size=shape)), dim=-1).to(dtype)


def value_and_gradients(loss: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    leaves = [value.clone().requires_grad_() for value in inputs]
    value = loss(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def info_nce_by_loops(
    a: Tensor, c: Tensor, own: Tensor, temperature: float, positive: list[int], weight: list[float],
    groups: tuple[list[int], list[int]], candidate_weight: list[float], decoupled: bool,
) -> Tensor:  # fmt: skip
    """The equation, term by term."""
    total, weights = (a.sum() + c.sum() + own.sum()) * 0, 0.0
    for i, p in enumerate(positive):
        if p < 0:
            continue
        e = [torch.exp(sum(a[i, d] * k[d] for d in range(a.shape[1])) / temperature) for k in c]
        negatives = [
            candidate_weight[j] * e[j]
            for j in range(len(c))
            if j != p and (groups[0][i] < 0 or groups[0][i] != groups[1][j]) and candidate_weight[j] > 0
        ]
        negatives += [torch.exp((a[i] * k).sum() / temperature) for k in own[i]]
        if not decoupled:
            total = total - weight[i] * torch.log(e[p] / (e[p] + sum(negatives)))
        elif negatives:
            total = total - weight[i] * torch.log(e[p] / sum(negatives))
        else:
            continue
        weights += weight[i]
    return total / weights if weights else total


@given(data=st.data(), seed=st.integers(0, 99), temperature=st.floats(0.05, 1.0), block=st.integers(1, 60))
@settings(deadline=None, max_examples=80)
def test_info_nce_is_the_equation(data: st.DataObject, seed: int, temperature: float, block: int) -> None:
    n, m, k = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 9)), data.draw(st.integers(0, 2))

    def some(values: st.SearchStrategy, length: int) -> list:
        return data.draw(st.lists(values, min_size=length, max_size=length))

    positive, decoupled = some(st.integers(-1, m - 1), n), data.draw(st.booleans())
    weight, candidate_weight = some(st.sampled_from([0.0, 0.5, 2.0]), n), some(st.sampled_from([0.0, 0.3, 1.0]), m)
    groups = some(st.integers(-1, 2), n), some(st.integers(-1, 2), m)
    inputs = embeddings(n, 3, seed=seed), embeddings(m, 3, seed=seed + 100), embeddings(n, k, 3, seed=seed + 200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "BLOCK_ELEMENTS", block)
        found = value_and_gradients(
            lambda a, c, own: info_nce(
                a, c, temperature=temperature, positive=torch.tensor(positive), weight=torch.tensor(weight),
                anchor_group=torch.tensor(groups[0]), candidate_group=torch.tensor(groups[1]),
                candidate_weight=torch.tensor(candidate_weight), own_negative=own, decoupled=decoupled,
            ),
            *inputs,
        )  # fmt: skip
    expected = value_and_gradients(
        lambda a, c, own: info_nce_by_loops(
            a, c, own, temperature, positive, weight, groups, candidate_weight, decoupled
        ),
        *inputs,
    )
    torch.testing.assert_close(found, expected)


@given(n=st.integers(1, 8), more=st.integers(0, 5), seed=st.integers(0, 99), block=st.integers(1, 60))
@settings(deadline=None, max_examples=40)
def test_candidate_i_is_the_positive_of_anchor_i_by_default(n: int, more: int, seed: int, block: int) -> None:
    a, c, own = embeddings(n, 3, seed=seed), embeddings(n + more, 3, seed=seed + 1), torch.zeros(n, 0, 3).double()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "BLOCK_ELEMENTS", block)
        found = value_and_gradients(lambda a, c: info_nce(a, c, temperature=0.2), a, c)
    none = [-1] * n, [-1] * (n + more)
    expected = value_and_gradients(
        lambda a, c: info_nce_by_loops(a, c, own, 0.2, list(range(n)), [1.0] * n, none, [1.0] * (n + more), False), a, c
    )
    torch.testing.assert_close(found, expected)


def test_two_points_by_hand() -> None:
    p = torch.eye(2, dtype=torch.float64)
    assert float(info_nce(p, p, temperature=0.5)) == pytest.approx(-math.log(math.e**2 / (math.e**2 + 1)))
    assert float(info_nce(p, p, temperature=0.5, decoupled=True)) == pytest.approx(-2.0)


def test_perfect_alignment_of_distant_points_is_the_lower_limit() -> None:
    p = torch.eye(8, dtype=torch.float64)
    assert float(info_nce(p, p, temperature=0.1)) == pytest.approx(math.log(1 + 7 * math.exp(-1 / 0.1)), rel=1e-9)
    assert float(info_nce(p, p, temperature=0.01)) == pytest.approx(0, abs=1e-12)


def test_collapsed_embeddings_are_at_chance() -> None:
    p = torch.ones(64, 4, dtype=torch.float64) / 2
    assert float(info_nce(p, p, temperature=0.1)) == pytest.approx(math.log(64))


def test_similarities_beyond_the_range_of_exp_stay_finite() -> None:
    p, q = 1000 * embeddings(5, 3, dtype=torch.float32), 1000 * embeddings(5, 3, seed=1, dtype=torch.float32)
    found = value_and_gradients(lambda a, c: info_nce(a, c, temperature=0.1), p, q)
    expected = value_and_gradients(lambda a, c: info_nce(a, c, temperature=0.1), p.double(), q.double())
    torch.testing.assert_close(found, [value.float() for value in expected], rtol=1e-4, atol=1e-4)


def test_one_group_alone_has_no_negatives_and_is_zero() -> None:
    a, c, group = embeddings(5, 4), embeddings(5, 4, seed=1), torch.zeros(5, dtype=torch.int64)
    for decoupled in (False, True):
        value, *gradients = value_and_gradients(
            lambda a, c, decoupled=decoupled: info_nce(
                a, c, temperature=0.1, anchor_group=group, candidate_group=group, decoupled=decoupled
            ),
            a, c,
        )  # fmt: skip
        assert value == 0
        assert all(bool((g == 0).all()) for g in gradients)


@pytest.mark.parametrize("positive", [[], [-1, -1, -1]])
def test_no_positives_give_a_zero_connected_to_all_inputs(positive: list[int]) -> None:
    n = len(positive)
    a, c, own = torch.zeros(n, 4), torch.ones(3, 4), torch.zeros(n, 2, 4)
    value, *gradients = value_and_gradients(
        lambda a, c, own, t: info_nce(
            a, c, temperature=t, positive=torch.tensor(positive, dtype=torch.int64), own_negative=own
        ),
        a, c, own, torch.tensor(0.1),
    )  # fmt: skip
    assert value == 0
    assert all(bool((g == 0).all()) for g in gradients)


def test_weights_of_zero_give_a_connected_zero() -> None:
    a = embeddings(3, 4)
    value, *gradients = value_and_gradients(
        lambda a, c: info_nce(a, c, temperature=0.1, weight=torch.zeros(3)), a, embeddings(3, 4, seed=1)
    )
    assert value == 0
    assert all(bool((g == 0).all()) for g in gradients)


def test_a_temperature_can_be_learned() -> None:
    a, c = embeddings(6, 4), embeddings(6, 4, seed=1)
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: info_nce(a, c, temperature=t), (t,))


def test_an_appended_queue_adds_negatives_alone() -> None:
    a, c, queue = embeddings(4, 3), embeddings(4, 3, seed=1), embeddings(9, 3, seed=2)
    found = info_nce(a, torch.cat([c, queue]), temperature=0.2)
    as_own = info_nce(a, c, temperature=0.2, own_negative=queue.expand(4, -1, -1))
    torch.testing.assert_close(found, as_own)


def test_a_weight_of_zero_leaves_a_negative_out_and_never_the_positive() -> None:
    a, c = embeddings(3, 4), embeddings(5, 4, seed=1)
    found = info_nce(a, c, temperature=0.2, candidate_weight=torch.tensor([0.0, 1, 1, 1, 0]))
    kept = [[0, 1, 2, 3], [1, 2, 3], [2, 1, 3]]
    logits = [(c[rows] @ a[i]) / 0.2 for i, rows in enumerate(kept)]
    torch.testing.assert_close(found, torch.stack([value.logsumexp(0) - value[0] for value in logits]).mean())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("inside", [False, True])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, inside: bool) -> None:
    """With the backward pass inside autocast too."""
    a, c, group = embeddings(50, 8, dtype=dtype), embeddings(60, 8, seed=1, dtype=dtype), torch.arange(60) % 7

    def loss(a: Tensor, c: Tensor) -> Tensor:
        return info_nce(a, c, temperature=0.05, anchor_group=group[:50], candidate_group=group)

    with torch.autocast("cpu", torch.bfloat16, enabled=inside):
        found = value_and_gradients(loss, a, c)
    expected = value_and_gradients(loss, a.float(), c.float())
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1:], [value.to(dtype) for value in expected[1:]])


def test_symmetric_is_the_mean_of_both_directions() -> None:
    a, b, weight, group = embeddings(6, 4), embeddings(6, 4, seed=1), torch.rand(6), torch.tensor([0, 0, 1, -1, -1, 2])
    found = SymmetricInfoNCE()(a, b, temperature=0.2, weight=weight, group=group)
    own, none = torch.zeros(6, 0, 4).double(), ([0, 0, 1, -1, -1, 2],) * 2
    there, back = (
        info_nce_by_loops(x, y, own, 0.2, list(range(6)), weight.tolist(), none, [1.0] * 6, False)
        for x, y in ((a, b), (b, a))
    )
    torch.testing.assert_close(found, (there + back) / 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "4 anchors have no positives among 3 candidates"),
        ({"positive": torch.zeros(3).long()}, r"positive must be \[4\], got \[3\]"),
        ({"positive": torch.zeros(4).long(), "weight": torch.ones(4, 1)}, r"weight must be \[4\], got \[4, 1\]"),
        ({"positive": torch.zeros(4).long(), "anchor_group": torch.zeros(4).long()}, "together or not at all"),
        ({"positive": torch.zeros(4).long(), "candidate_weight": torch.ones(4)}, r"candidate_weight must be \[3\]"),
    ],
)
def test_shapes_that_do_not_fit_are_named(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        info_nce(embeddings(4, 5), embeddings(3, 5), temperature=0.1, **given)
