import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pc_ssl.config import load_config
from pc_ssl.errors import UserError
from pc_ssl.losses.objectives import (
    OBJECTIVES,
    ContrastiveGap,
    Decoupled,
    InfoNCE,
    MixedNegatives,
    Supervised,
    as_objective,
)
from pc_ssl.methods import METHODS

SMOKE = Path(__file__).parents[2] / "configs" / "smoke"


def unit(rows: int, seed: int, channels: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, channels, generator=generator, dtype=torch.float64), dim=1)


def by_loops(anchor: Tensor, candidate: Tensor, t: float, positive: list[int], group: list[int], own: bool) -> float:
    """Mean of -log [ e_ip / (own * e_ip + sum over negatives e_ij) ]."""
    terms = []
    for i, p in enumerate(positive):
        e = [math.exp(float(anchor[i] @ c) / t) for c in candidate]
        others = sum(v for j, v in enumerate(e) if j != p and not (group[j] >= 0 and group[j] == group[i]))
        terms.append(-math.log(e[p] / (others + (e[p] if own else 0))))
    return sum(terms) / len(terms)


GROUP = [0, 0, 1, -1, -1, 2, 0, 1]


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("positive", [None, [3, 1, 0, 5, 4, 2]])
def test_info_nce_and_its_decoupled_form_are_their_equations(own: bool, positive: list[int] | None) -> None:
    anchor, candidate = unit(6, 0), unit(8, 1)
    objective = InfoNCE() if own else Decoupled()
    rows = None if positive is None else torch.tensor(positive)
    found = objective(anchor, candidate, temperature=0.3, positive=rows, group=torch.tensor(GROUP))
    expected = by_loops(anchor, candidate, 0.3, positive or list(range(6)), GROUP, own)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_gap_adds_alignment_and_uniformities() -> None:
    x, y = unit(6, 0), unit(6, 1)
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]

    def spread(a: Tensor, b: Tensor) -> float:
        return math.log(sum(math.exp(-2 * float((a[i] - b[j]).square().sum())) for i, j in pairs) / len(pairs))

    align = sum(float((a - b).square().sum()) for a, b in zip(x, y, strict=True)) / 6
    expected = by_loops(x, y, 0.2, list(range(6)), [-1] * 6, True)
    expected += 2 * align + 3 * (spread(x, x) + spread(y, y)) / 2 + 5 * spread(x, y)
    assert float(ContrastiveGap(2.0, 3.0, 5.0)(x, y, temperature=0.2)) == pytest.approx(expected, rel=1e-9)


def test_mixed_negatives_lie_between_the_hardest_and_raise_the_loss() -> None:
    anchor, candidate = unit(6, 0), unit(20, 1)
    plain = float(InfoNCE()(anchor, candidate, temperature=0.3))
    torch.manual_seed(0)
    mixed = float(MixedNegatives(hardest=4, mixed=3, mixed_with_anchor=2)(anchor, candidate, temperature=0.3))
    terms = []
    for i in range(6):  # a mixture is at most as similar as the anchor to itself, at least as the least similar
        e = [math.exp(float(anchor[i] @ c) / 0.3) for c in candidate]
        terms.append((-math.log(e[i] / (sum(e) + 5 * math.exp(1 / 0.3))), -math.log(e[i] / sum(e))))
    assert sum(low for _, low in terms) / 6 == pytest.approx(plain, rel=1e-9)
    assert plain < mixed < sum(high for high, _ in terms) / 6


def test_two_negatives_are_too_few_for_more_and_one_for_any() -> None:
    x, y = unit(2, 0), unit(2, 1)
    objective = MixedNegatives(hardest=64, mixed=3, mixed_with_anchor=0)
    assert float(objective(x, y, temperature=0.3)) == float(InfoNCE()(x, y, temperature=0.3))
    assert math.isfinite(float(objective(unit(3, 0), unit(3, 1), temperature=0.3)))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_without_anchors_every_objective_is_a_zero_with_a_graph(name: str) -> None:
    anchor, candidate = unit(0, 0).requires_grad_(), unit(0, 1).requires_grad_()
    region = torch.zeros(0, dtype=torch.int64)
    loss = as_objective(name, has_regions=True)(anchor, candidate, temperature=0.1, region=region)
    loss.backward()
    assert float(loss.detach()) == 0
    assert anchor.grad is not None
    assert candidate.grad is not None


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_reach_both_sides(name: str) -> None:
    anchor, candidate = unit(6, 0).requires_grad_(), unit(8, 1).requires_grad_()
    region = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
    objective = as_objective(name, has_regions=True)
    objective(anchor, candidate, temperature=0.1, group=torch.tensor(GROUP), region=region).backward()
    assert bool((anchor.grad.abs().sum(dim=1) > 0).all())
    assert bool((candidate.grad[:6].abs().sum(dim=1) > 0).all())


def test_an_override_chooses_the_objective_and_its_numbers() -> None:
    def built(*overrides: str) -> object:
        return load_config(SMOKE / "prc_unet.py", overrides).build("method").objective

    assert built() == InfoNCE()
    assert built("method.objective=decoupled") == Decoupled()
    numbers = "{'type': 'pc_ssl.losses.objectives.MixedNegatives', 'hardest': 8}"
    assert built(f"method.objective={numbers}") == MixedNegatives(hardest=8)
    with pytest.raises(UserError, match=r"prc_unet\.py: method.*'triplet'.*decoupled"):
        built("method.objective=triplet")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: MixedNegatives(hardest=1),
        lambda: MixedNegatives(mixed=0, mixed_with_anchor=0),
        lambda: ContrastiveGap(-1),
    ],
)
def test_numbers_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_the_contrastive_methods_take_an_objective() -> None:
    taking = {name for name, method in METHODS.items() if "objective" in method.__init__.__annotations__}
    assert taking == {"bev_contrast", "point_contrast", "ppkt", "prc", "rad", "seg_contrast", "sim_ipu", "slidr"}


def test_all_points_of_the_region_are_positives() -> None:
    first, second, region = unit(5, 0), unit(5, 1), [0, 0, 1, -1, 1]
    terms = []
    for i in (0, 1, 2, 4):
        e = [math.exp(float(first[i] @ c) / 0.3) for c in second]
        positives = [j for j in range(5) if region[j] == region[i]]
        terms.append(-sum(math.log(e[j] / sum(e)) for j in positives) / len(positives))
    found = Supervised()(first, second, temperature=0.3, region=torch.tensor(region))
    assert float(found) == pytest.approx(sum(terms) / 4, rel=1e-9)


def test_a_method_without_regions_refuses_an_objective_that_needs_them() -> None:
    assert load_config(SMOKE / "prc_unet.py", ["method.objective=supervised"]).build("method").objective == Supervised()
    with pytest.raises(UserError, match=r"point_contrast_unet\.py: method: .*needs regions"):
        load_config(SMOKE / "point_contrast_unet.py", ["method.objective=supervised"]).build("method")
