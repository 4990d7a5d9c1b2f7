"""Sparse convolution on the CPU: pairs, values, gradients and threads, against loops and spconv."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spconv.core import ConvAlgo
from spconv.pytorch import ops as spconv_ops
from torch import Tensor

from pc_ssl.ops import ConvPlan, plain, sparse_conv
from pc_ssl.ops.reference import conv_pairs_reference, sparse_conv_reference

OPS = torch.ops.pc_ssl
SHAPE = (6, 8, 10)
# kernel, stride, padding along z, y, x
KINDS = {
    "submanifold": ((3, 3, 3), (1, 1, 1), (1, 1, 1)),
    "halving": ((2, 2, 2), (2, 2, 2), (0, 0, 0)),
    "strided": ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    "height": ((3, 1, 1), (2, 1, 1), (0, 0, 0)),
}


def voxels(seed: int, share: float, frames: int = 2) -> Tensor:
    filled = torch.rand(frames, *SHAPE, generator=torch.Generator().manual_seed(seed)) < share
    return filled.nonzero().int().contiguous()  # spconv reads other layouts wrongly


def plan_of(kind: str, index: Tensor) -> ConvPlan:
    return ConvPlan.build(index, SHAPE, *KINDS[kind], submanifold=kind == "submanifold")


def pair_sets(plan: ConvPlan) -> list[set]:
    bounds = plan.offsets.tolist()
    first, second = plan.in_index[plan.in_row.long()].tolist(), plan.out_index[plan.out_row.long()].tolist()
    pairs = [(tuple(a), tuple(b)) for a, b in zip(first, second, strict=True)]
    return [set(pairs[begin:end]) for begin, end in pairwise(bounds)]


def random(*shape: int, seed: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.02, 0.2, 0.9]))
def test_pairs_are_those_of_the_loop(kind: str, seed: int, share: float) -> None:
    index = voxels(seed, share)
    plan = plan_of(kind, index)
    expected = conv_pairs_reference(index, plan.out_shape, *KINDS[kind])
    if kind == "submanifold":
        inside = {tuple(row) for row in index.tolist()}
        expected = [[pair for pair in pairs if pair[1] in inside] for pairs in expected]
        assert torch.equal(plan.out_index, index)
    else:
        met = sorted({pair[1] for pairs in expected for pair in pairs})
        assert [tuple(row) for row in plan.out_index.tolist()] == met
    assert pair_sets(plan) == [set(pairs) for pairs in expected]
    assert len(plan.in_row) == len(plan.out_row) == sum(map(len, expected))


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_those_of_spconv(kind: str) -> None:
    index = voxels(1, 0.2)
    plan, submanifold = plan_of(kind, index), kind == "submanifold"
    out, pair, count = spconv_ops.get_indice_pairs(
        index, 2, list(SHAPE), ConvAlgo.Native, *KINDS[kind], [1, 1, 1], [0, 0, 0], submanifold
    )
    found = []
    for k, number in enumerate(count.tolist()):
        rows = pair[:, k, :number].long()
        found.append({(tuple(index[i].tolist()), tuple(out[o].tolist())) for i, o in rows.T.tolist()})
    if submanifold:  # spconv lists the offsets before the middle one; the others mirror them
        found = [*found[:13], {(tuple(row), tuple(row)) for row in index.tolist()}]
        found += [{(b, a) for a, b in found[k]} for k in range(12, -1, -1)]
    assert pair_sets(plan) == found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [(1, 1), (3, 7), (5, 8), (8, 24), (9, 33), (17, 40), (24, 63), (40, 96)])
def test_values_are_those_of_the_loop_for_every_width(width: tuple[int, int], dtype: torch.dtype) -> None:
    plan = plan_of("submanifold", voxels(2, 0.12))
    feature, weight = random(len(plan.in_index), width[0], dtype=dtype), random(27, *width, seed=4, dtype=dtype)
    arguments = plan.in_row, plan.out_row, plan.offsets
    grad = random(len(plan.out_index), width[1], seed=5, dtype=dtype)
    wide = feature.double(), weight.double().requires_grad_()
    expected = sparse_conv_reference(*wide, *arguments, len(plan.out_index))
    (of_weight,) = torch.autograd.grad(expected, wide[1], grad.double())
    size = sparse_conv_reference(wide[0].abs(), weight.double().abs(), *arguments, len(plan.out_index)).max()
    error = 1e-6 if dtype == torch.float32 else 1e-14
    assert (sparse_conv(feature, weight, plan) - expected.detach()).abs().max() < error * size
    found = OPS.sparse_conv_weight_grad(feature, grad, *arguments)
    size = OPS.sparse_conv_weight_grad(feature.abs(), grad.abs(), *arguments).max()
    assert (found - of_weight).abs().max() < error * size


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind: str) -> None:
    plan = plan_of(kind, voxels(5, 0.03))
    kernels = len(plan.offsets) - 1
    for each in (plan, plan.inverse()):
        feature, weight = random(len(each.in_index), 2).requires_grad_(), random(kernels, 2, 3).requires_grad_()
        run = lambda f, w, each=each: sparse_conv(f, w, each)  # noqa: E731
        assert torch.autograd.gradcheck(run, (feature, weight))
        assert torch.autograd.gradgradcheck(run, (feature, weight))


def test_the_ops_are_registered_as_torch_asks() -> None:
    plan = plan_of("strided", voxels(6, 0.1))
    pairs = plan.in_row, plan.out_row, plan.offsets
    feature, weight = random(len(plan.in_index), 3).requires_grad_(), random(27, 3, 2).requires_grad_()
    grad = random(len(plan.out_index), 2).requires_grad_()
    torch.library.opcheck(OPS.sparse_conv.default, (feature, weight, *pairs, len(plan.out_index)))
    torch.library.opcheck(OPS.sparse_conv_weight_grad.default, (feature, grad, *pairs))
    sizes = [list(values) for values in KINDS["strided"]]
    torch.library.opcheck(OPS.sparse_conv_pairs.default, (plan.in_index, list(SHAPE), [3, 4, 5], *sizes, False))


def test_any_number_of_threads_gives_the_same_bits() -> None:
    cloud = torch.rand(2, 20, 40, 40, generator=torch.Generator().manual_seed(0)) < 0.1
    index = cloud.nonzero().int()
    plan = ConvPlan.build(index, (20, 40, 40), *KINDS["submanifold"], submanifold=True)
    feature = random(len(index), 17, dtype=torch.float32).requires_grad_()
    weight = random(27, 17, 24, dtype=torch.float32).requires_grad_()
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            y = sparse_conv(feature, weight, plan)
            results.append([y.detach(), *torch.autograd.grad(y.sin().sum(), (feature, weight))])
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], result, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_plain_ops_give_the_same(kind: str) -> None:
    index = voxels(7, 0.1)
    plan = plan_of(kind, index)
    sizes = [list(values) for values in KINDS[kind]]
    found = plain.sparse_conv_pairs(index, list(SHAPE), list(plan.out_shape), *sizes, kind == "submanifold")
    for a, b in zip(found, (plan.out_index, plan.in_row, plan.out_row, plan.offsets), strict=True):
        assert torch.equal(a, b)
    pairs = plan.in_row, plan.out_row, plan.offsets
    feature, weight = random(len(index), 3), random(len(plan.offsets) - 1, 3, 2)
    expected = sparse_conv(feature, weight, plan)
    torch.testing.assert_close(plain.sparse_conv(feature, weight, *pairs, len(expected)), expected)
    torch.testing.assert_close(
        plain.sparse_conv_weight_grad(feature, expected, *pairs), OPS.sparse_conv_weight_grad(feature, expected, *pairs)
    )


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_plan_of_any_numbers_is_right_or_refused(data: st.DataObject) -> None:
    """Never memory outside the tensors: `make test-asan` runs this on sanitized kernels."""
    plan = plan_of("halving", voxels(8, 0.05))
    pairs = {"in_row": plan.in_row.clone(), "out_row": plan.out_row.clone(), "offsets": plan.offsets.clone()}
    name = data.draw(st.sampled_from(sorted(pairs)))
    bits = 64 if name == "offsets" else 32
    near, any_number = st.integers(-2, len(plan.in_row) + 1), st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    pairs[name][data.draw(st.integers(0, len(pairs[name]) - 1))] = data.draw(st.one_of(near, any_number))
    feature, weight, size = random(len(plan.in_index), 3), random(8, 3, 9), len(plan.out_index)
    for op, arguments in (("sparse_conv", (feature, weight)), ("sparse_conv_weight_grad", (feature, random(size, 9)))):
        rest = (*pairs.values(), size) if op == "sparse_conv" else tuple(pairs.values())
        results = []
        for implementation in (getattr(OPS, op), getattr(plain, op)):
            try:
                results.append(implementation(*arguments, *rest))
            except ValueError:
                results.append(None)
        if results[1] is None:
            assert results[0] is None
        else:
            torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0, 0, 0, 1], [0, 0, 0, 0]], r"index\[1\]"),
        ([[0, 0, 0, 1], [0, 0, 0, 1]], r"index\[1\]"),
        ([[0, 0, 0, 10]], r"index\[0\]"),
        ([[-1, 0, 0, 1]], r"index\[0\]"),
        ([[0, -1, 0, 1]], r"index\[0\]"),
    ],
)
def test_voxels_out_of_order_or_outside_are_named(rows: list[list[int]], message: str) -> None:
    index = torch.tensor(rows, dtype=torch.int32)
    with pytest.raises(ValueError, match=message):
        plan_of("submanifold", index)
    with pytest.raises(ValueError, match=message):
        plain.sparse_conv_pairs(index, list(SHAPE), list(SHAPE), [3] * 3, [1] * 3, [1] * 3, True)


def test_weights_of_another_kernel_are_refused() -> None:
    plan = plan_of("halving", voxels(9, 0.1))
    with pytest.raises(ValueError, match=r"weight must be .*\[8, 3, out\]"):
        sparse_conv(random(len(plan.in_index), 3), random(27, 3, 2), plan)
