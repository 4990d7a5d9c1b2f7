"""FAC, PointContrast, SegContrast and BEVContrast: what holds for all of them, and what for one alone."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.geometry import BevGrid
from pc_ssl.methods.bev_contrast import BEVContrast
from pc_ssl.methods.fac import FAC
from pc_ssl.methods.point_contrast import PointContrast
from pc_ssl.methods.seg_contrast import SegContrast, SegmentHead, SegmentPooling
from pc_ssl.models.lidar import SECOND, SparseUNet
from pc_ssl.models.networks import grids_of
from pc_ssl.views.foreground import ForegroundViews
from pc_ssl.views.lidar import Augmentation, PairViews
from pc_ssl.views.scan_pairs import ScanPairViews

GRID = BevGrid((-25.6, -25.6, -3.0), (25.6, 25.6, 5.0), (0.8, 0.8, 1.0))
REGION = {"bev": None}


def second() -> nn.Module:
    return SECOND(GRID, 1, (8, 16), (1, 1), (16, 16), (1, 1), 16)


def unet() -> nn.Module:
    return SparseUNet((0.4, 0.4, 0.4), 1, 8, (8, 16), (1, 1), (16, 8), (1, 1))


def fac(backbone: nn.Module, **options: Any) -> nn.Module:
    return FAC(backbone, ForegroundViews(Augmentation(), 150, 150), 32, 16, **options)


def learned(backbone: nn.Module) -> nn.Module:
    return fac(backbone, correlation="learned", correlation_channels=8)


def point(backbone: nn.Module, **options: Any) -> nn.Module:
    return PointContrast(backbone, PairViews(Augmentation(), 100, 100), 16, **options)


def hardest(backbone: nn.Module) -> nn.Module:
    return point(backbone, loss="hardest_contrastive")


def seg(backbone: nn.Module, queue_size: int = 1, **options: Any) -> nn.Module:
    """With next to no queue: of one batch alone, it would fill with the very segments that are to be found."""
    views = PairViews(Augmentation(), 1000)
    return SegContrast(backbone, views, hidden_channels=32, embedding_channels=16, queue_size=queue_size, **options)


def attention(backbone: nn.Module) -> nn.Module:
    return seg(backbone, pooling="attention")


def bev(backbone: nn.Module, **options: Any) -> nn.Module:
    return BEVContrast(backbone, ScanPairViews(Augmentation(), 1.5, 200, keyframes_apart=1), 32, 16, **options)


ALL = [fac, learned, point, hardest, seg, attention, bev]


def batch(cache: Cache, method: nn.Module, region: str | None = "dbscan", frames: int = 2) -> Any:
    views: Any = method.views
    dataset = CacheScenes(cache, range(frames), region, views, grids=grids_of(method))
    return method.collate([dataset[Draw(row, 0, 0)] for row in range(frames)])  # type: ignore[operator]


def train(method: nn.Module, data: Any, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(steps):
        terms = method(data)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    return losses


@pytest.mark.parametrize("backbone", [second, unet])
@pytest.mark.parametrize("make", ALL)
def test_every_method_learns_on_both_backbones(
    street_cache: Cache, make: Callable[..., nn.Module], backbone: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(0)
    method = make(backbone())
    losses = train(method, batch(street_cache, method), 15)
    assert min(losses[-3:]) < 0.95 * losses[0]
    learned = [p for p in method.parameters() if p.requires_grad]
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in learned)
    assert any(bool(p.grad.any()) for p in method.get_submodule("backbone").parameters() if p.grad is not None)


@pytest.mark.parametrize("make", ALL)
def test_the_same_seed_gives_the_same_weights(street_cache: Cache, make: Callable[..., nn.Module]) -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        method = make(unet())
        train(method, batch(street_cache, method), 2)
        results.append(method.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


@pytest.mark.parametrize("make", ALL)
def test_a_batch_without_regions_trains_on(street_cache: Cache, make: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    method = make(unet())
    terms = method(batch(street_cache, method, region=None))
    terms["loss"].backward()
    assert all(bool(value.isfinite()) for value in terms.values())
    assert [name for name, value in terms.items() if value.requires_grad] == ["loss"]
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)
    if make in (fac, learned, seg, attention):  # those that live on regions have nothing to learn
        assert terms["loss"].item() == 0


@pytest.mark.parametrize("make", ALL)
def test_points_are_drawn_in_the_box_that_the_backbone_sees(make: Callable[..., nn.Module]) -> None:
    assert grids_of(make(second())) == (GRID,)
    assert grids_of(make(unet())) == ()


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (fac, {"temperature": 0.0}), (fac, {"alpha": 0.0, "beta": 0.0}), (fac, {"correlated": 0}),
        (fac, {"negatives": "some"}), (fac, {"correspondence": "some"}), (fac, {"positives": "some"}),
        (fac, {"correlation": "some"}), (fac, {"correlation": "learned", "correlation_channels": 0}),
        (fac, {"correlation": "learned", "correspondence": "same_point"}),
        (point, {"temperature": -1.0}),
        (point, {"loss": "some"}), (seg, {"temperature": 0.0}), (seg, {"momentum": 2.0}), (seg, {"pooling": "some"}),
        (bev, {"temperature": 0.0}),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(make: Callable[..., nn.Module], wrong: dict) -> None:
    with pytest.raises(ValueError):
        make(unet(), **wrong)


def test_fac_is_the_weighted_sum_of_its_terms_and_each_can_stand_alone(street_cache: Cache) -> None:
    torch.manual_seed(0)
    method = fac(unet(), alpha=0.5, beta=2.0)
    data = batch(street_cache, method)
    terms = method(data)
    assert terms["loss"].item() == pytest.approx(0.5 * float(terms["segment"]) + 2 * float(terms["correspondence"]))
    assert float(terms["foreground_share"]) == 0.5
    method.beta = 0.0  # type: ignore[assignment]
    assert method(data)["loss"].item() == pytest.approx(0.5 * float(terms["segment"]), rel=1e-5)


def test_fac_with_other_negatives_and_positives_is_another_loss(street_cache: Cache) -> None:
    torch.manual_seed(0)
    one = fac(unet())
    data = batch(street_cache, one)
    other = copy.deepcopy(one)
    other.negatives = type(one.negatives)("other_segments")  # type: ignore[operator]
    other.correspondence = type(one.correspondence)("same_point")  # type: ignore[operator]
    found, changed = one(data), other(data)
    assert float(changed["segment"]) > float(found["segment"])
    assert float(changed["correspondence"]) > float(found["correspondence"])


def test_facs_learned_correlation_is_trained_and_its_default_has_no_parameters(street_cache: Cache) -> None:
    torch.manual_seed(0)
    one = fac(unet())
    torch.manual_seed(0)
    other = learned(unet())
    own = set(other.state_dict()) - set(one.state_dict())
    assert own == {"correlation.query.weight", "correlation.key.weight"}
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    data = batch(street_cache, other)
    found, changed = one(data), other(data)
    assert torch.equal(found["segment"], changed["segment"])
    assert not torch.equal(found["correspondence"], changed["correspondence"])
    before = copy.deepcopy(other.state_dict())
    train(other, data, 1)
    assert not any(torch.equal(before[name], other.state_dict()[name]) for name in own)


def test_the_teacher_follows_the_student_and_gets_no_gradient(street_cache: Cache) -> None:
    torch.manual_seed(0)
    method = seg(unet(), momentum=0.5, queue_size=40)
    data = batch(street_cache, method)
    before = copy.deepcopy(method.teacher_backbone)
    train(method, data, 1)
    train(method, data, 1)
    student, teacher = method.get_submodule("backbone"), method.get_submodule("teacher_backbone.module")
    old = before.get_submodule("module")
    for own, now, then in zip(student.parameters(), teacher.parameters(), old.parameters(), strict=True):
        assert now.grad is None
        assert not torch.equal(now, own) or torch.equal(own, then)
    assert any(not torch.equal(a, b) for a, b in zip(teacher.parameters(), old.parameters(), strict=True))


def test_the_queue_grows_while_training_alone(street_cache: Cache) -> None:
    torch.manual_seed(0)
    method = seg(unet(), queue_size=1000)
    data = batch(street_cache, method)
    segments = float(method(data)["segments"])
    assert segments == 22
    terms = method(data)
    assert terms["by_chance"].exp().item() == pytest.approx(2 * segments)
    method.eval()
    method(data)
    assert int(method.queue.seen) == 2 * segments  # type: ignore[union-attr]


def test_the_embedding_of_a_segment_does_not_depend_on_the_other_segments() -> None:
    """Without batch norm in the projection, as in SegContrast's code."""
    torch.manual_seed(0)
    head = SegmentHead(8, 32, 16, SegmentPooling.MAX, dropout=0.0).train()
    feature, segment = torch.randn(60, 8), torch.arange(60) % 4
    before = head(feature, segment, 4)
    changed = torch.where((segment == 0)[:, None], feature, 10 * torch.randn(60, 8))
    after = head(changed, segment, 4)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1], atol=1e-2)


def test_features_are_dropped_before_the_maximum_in_training_alone() -> None:
    torch.manual_seed(0)
    head = SegmentHead(8, 32, 16, SegmentPooling.MAX, dropout=0.4)
    feature, segment = torch.rand(40, 8) + 1, torch.arange(40) % 2
    assert not torch.equal(head(feature, segment, 2), head(feature, segment, 2))
    head.eval()
    assert torch.equal(head(feature, segment, 2), head(feature, segment, 2))
    assert abs(float((head.train().dropout(torch.ones(10_000)) == 0).float().mean()) - 0.4) < 0.02
