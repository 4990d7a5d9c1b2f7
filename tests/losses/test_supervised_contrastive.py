import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.losses import PositiveMean, info_nce, similarity, supervised_contrastive


def embeddings(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=shape)), dim=-1)


def by_loops(
    a: Tensor, c: Tensor, own: list[int], other: list[int], temperature: float, mean: PositiveMean,
    itself: list[int], weight: list[float],
) -> Tensor:  # fmt: skip
    """The equations, term by term."""
    total, weights = (a.sum() + c.sum()) * 0, 0.0
    for i, group in enumerate(own):
        e = [torch.exp(sum(a[i, d] * k[d] for d in range(a.shape[1])) / temperature) for k in c]
        everything = sum(e[j] for j in range(len(c)) if j != itself[i])
        positives = [j for j in range(len(c)) if j != itself[i] and group >= 0 and other[j] == group]
        if not positives:
            continue
        if mean is PositiveMean.OUTSIDE_LOG:
            term = -sum(torch.log(e[j] / everything) for j in positives) / len(positives)
        else:
            term = -torch.log(sum(e[j] / everything for j in positives) / len(positives))
        total, weights = total + weight[i] * term, weights + weight[i]
    return total / weights if weights else total


@given(
    data=st.data(), mean=st.sampled_from(PositiveMean), seed=st.integers(0, 99), temperature=st.floats(0.05, 1.0),
    block=st.integers(1, 60),
)  # fmt: skip
@settings(deadline=None, max_examples=80)
def test_supervised_contrastive_is_the_equation(
    data: st.DataObject, mean: PositiveMean, seed: int, temperature: float, block: int
) -> None:
    n, m = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 9))

    def some(values: st.SearchStrategy, length: int) -> list:
        return data.draw(st.lists(values, min_size=length, max_size=length))

    own, other = some(st.integers(-1, 3), n), some(st.integers(-1, 3), m)
    itself, weight = some(st.integers(-1, m - 1), n), some(st.sampled_from([0.0, 0.5, 2.0]), n)
    a, c = embeddings(n, 3, seed=seed).requires_grad_(), embeddings(m, 3, seed=seed + 100).requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "BLOCK_ELEMENTS", block)
        found = supervised_contrastive(
            a, c, torch.tensor(own), torch.tensor(other), temperature=temperature, mean=mean,
            itself=torch.tensor(itself), weight=torch.tensor(weight),
        )  # fmt: skip
        gradients = torch.autograd.grad(found, (a, c))
    expected = by_loops(a, c, own, other, temperature, mean, itself, weight)
    torch.testing.assert_close([found, *gradients], [expected, *torch.autograd.grad(expected, (a, c))])


@pytest.mark.parametrize("mean", PositiveMean)
def test_groups_of_one_are_info_nce(mean: PositiveMean) -> None:
    a, c, group = embeddings(6, 4), embeddings(6, 4, seed=1), torch.tensor([5, 2, 9, 0, 10**12, 1])
    found = supervised_contrastive(a, c, group, group, temperature=0.1, mean=mean)
    torch.testing.assert_close(found, info_nce(a, c, temperature=0.1))


def test_one_group_alone_leaves_nothing_to_learn() -> None:
    """Every candidate is a positive: Eq. 3 is log M for any embeddings, Eq. 2 at its minimum, where all are alike."""
    a, c, group = embeddings(5, 4), embeddings(7, 4, seed=1), (torch.zeros(5).long(), torch.zeros(7).long())
    inside = supervised_contrastive(a.requires_grad_(), c, *group, temperature=0.1, mean=PositiveMean.INSIDE_LOG)
    assert float(inside.detach()) == pytest.approx(math.log(7))
    assert float(torch.autograd.grad(inside, a)[0].abs().max()) < 1e-12
    same = torch.ones(7, 4).double() / 2
    assert float(supervised_contrastive(same[:5], same, *group, temperature=0.1)) == pytest.approx(math.log(7))


@pytest.mark.parametrize("mean", PositiveMean)
@pytest.mark.parametrize("own", [[], [-1, -1], [0, 1]])
def test_no_positives_give_a_connected_zero(own: list[int], mean: PositiveMean) -> None:
    a, c = torch.zeros(len(own), 4, requires_grad=True), embeddings(3, 4).float().requires_grad_()
    temperature = torch.tensor(0.1, requires_grad=True)
    loss = supervised_contrastive(
        a, c, torch.tensor(own, dtype=torch.int64), torch.tensor([-1, 2, -1]), temperature=temperature, mean=mean
    )
    gradients = torch.autograd.grad(loss, (a, c, temperature))
    assert loss == 0
    assert all(bool((g == 0).all()) for g in gradients)


def test_an_anchor_is_not_a_positive_of_itself() -> None:
    x, group = embeddings(4, 3), torch.tensor([0, 0, 1, 2])
    rows = torch.arange(4)
    loss = supervised_contrastive(x, x, group, group, temperature=0.5, itself=rows)
    pairs = supervised_contrastive(
        x[:2], x[[1, 0, 2, 3]], torch.tensor([0, 0]), torch.tensor([0, 0, 1, 2]), temperature=0.5,
        itself=torch.tensor([1, 0]),
    )  # fmt: skip
    torch.testing.assert_close(loss, pairs)
    own = torch.stack([(x[0] @ x[k]) / 0.5 for k in (1, 2, 3)]), torch.stack([(x[1] @ x[k]) / 0.5 for k in (0, 2, 3)])
    torch.testing.assert_close(loss, torch.stack([o.logsumexp(0) - o[0] for o in own]).mean())


@pytest.mark.parametrize("mean", PositiveMean)
def test_half_precision_is_computed_in_float32(mean: PositiveMean) -> None:
    a, c, group = embeddings(30, 8).bfloat16(), embeddings(30, 8, seed=1).bfloat16(), torch.arange(30) % 4
    with torch.autocast("cpu", torch.bfloat16):
        found = supervised_contrastive(a, c, group, group, temperature=0.05, mean=mean)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, supervised_contrastive(a.float(), c.float(), group, group, temperature=0.05, mean=mean)
    )


def test_shapes_that_do_not_fit_are_named() -> None:
    a, c = embeddings(3, 4), embeddings(5, 4)
    with pytest.raises(ValueError, match=r"candidate_group must be \[5\], got \[3\]"):
        supervised_contrastive(a, c, torch.zeros(3).long(), torch.zeros(3).long(), temperature=0.1)
