import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.geometry import BevGrid
from pc_ssl.methods.prc import PRC
from pc_ssl.models.lidar import SECOND, SparseUNet
from pc_ssl.models.networks import grids_of
from pc_ssl.structures import PairBatch
from pc_ssl.views.lidar import Augmentation, PairViews

GRID = BevGrid((-25.6, -25.6, -3.0), (25.6, 25.6, 5.0), (0.8, 0.8, 1.0))


def second() -> nn.Module:
    return SECOND(GRID, 1, (8, 16), (1, 1), (16, 16), (1, 1), 16)


def unet() -> nn.Module:
    return SparseUNet((0.4, 0.4, 0.4), 1, 8, (8, 16), (1, 1), (16, 8), (1, 1))


def method(backbone: nn.Module, **options: object) -> PRC:
    views = PairViews(Augmentation(), inside=200, outside=200)
    return PRC(backbone, views, hidden_channels=32, embedding_channels=16, **options)


def batch(cache: Cache, prc: PRC, frames: int = 4) -> PairBatch:
    dataset = CacheScenes(cache, range(frames), "dbscan", prc.views, grids=grids_of(prc))
    return prc.collate([dataset[Draw(row, 0, 0)] for row in range(frames)])


@pytest.mark.parametrize("backbone", [second, unet])
def test_both_backbones_learn_to_tell_regions_apart(street_cache: Cache, backbone: object) -> None:
    torch.manual_seed(0)
    prc = method(backbone())
    pairs = batch(street_cache, prc)
    optimizer = torch.optim.AdamW(prc.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        terms = prc(pairs)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in prc.parameters())


def test_loss_is_the_weighted_sum_of_its_terms(street_cache: Cache) -> None:
    torch.manual_seed(0)
    prc = method(second(), alpha=0.3)
    terms = prc(batch(street_cache, prc))
    assert terms["loss"].item() == pytest.approx(0.3 * float(terms["plrc"]) + 0.7 * float(terms["rapc"]))
    assert all(value.ndim == 0 for value in terms.values())
    assert [name for name, value in terms.items() if value.requires_grad] == ["loss"]


def test_untrained_embeddings_start_near_the_level_by_chance(street_cache: Cache) -> None:
    torch.manual_seed(0)
    prc = method(second(), temperature=10.0)
    pairs = batch(street_cache, prc)
    terms = prc(pairs)
    assert float(terms["rapc_by_chance"]) == pytest.approx(math.log(len(pairs.region)))
    assert float(terms["rapc"]) == pytest.approx(float(terms["rapc_by_chance"]), rel=0.02)


def test_negatives_of_other_regions_alone_make_rapc_smaller(street_cache: Cache) -> None:
    torch.manual_seed(0)
    one = method(second())
    other = method(copy.deepcopy(one.backbone), negatives="other_regions")
    other.projector = copy.deepcopy(one.projector)
    pairs = batch(street_cache, one)
    assert float(other(pairs)["rapc"]) < float(one(pairs)["rapc"])
    assert float(other(pairs)["plrc"]) == pytest.approx(float(one(pairs)["plrc"]), rel=1e-4)


def test_region_ids_are_unique_over_the_batch(street_cache: Cache) -> None:
    prc = method(second())
    one, two = batch(street_cache, prc, frames=1), batch(street_cache, prc, frames=2)
    assert two.num_regions > one.num_regions
    inside = two.region >= 0
    for region in two.region[inside].unique():
        assert len(two.frame[two.region == region].unique()) == 1


def test_a_batch_without_points_to_contrast_gives_a_zero_with_zero_gradients(street_cache: Cache) -> None:
    far = BevGrid((100.0, 100.0, -3.0), (101.0, 101.0, 5.0), (0.5, 0.5, 1.0))
    prc = PRC(unet(), PairViews(Augmentation()), hidden_channels=32, embedding_channels=16)
    dataset = CacheScenes(street_cache, range(2), "dbscan", prc.views, grids=[far])
    terms = prc(prc.collate([dataset[Draw(row, 0, 0)] for row in range(2)]))
    terms["loss"].backward()
    gradients = [p.grad for p in prc.parameters()]
    assert float(terms["loss"]) == 0
    assert all(g is not None and bool((g == 0).all()) for g in gradients)


def test_a_single_point_has_nothing_to_be_contrasted_with(street_cache: Cache) -> None:
    prc = PRC(unet(), PairViews(Augmentation(), inside=1, outside=0), hidden_channels=32)
    one = batch(street_cache, prc, frames=1)
    assert len(one.region) == 1
    assert prc(one)["loss"].item() == 0


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"alpha": 1.5}, {"negatives": "some"}])
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        method(second(), **wrong)


def test_views_do_not_depend_on_the_worker(street_cache: Cache) -> None:
    dataset = CacheScenes(street_cache, range(2), "dbscan", method(second()).views, grids=grids_of(method(second())))
    first, again = dataset[Draw(1, 5, 2)], dataset[Draw(1, 5, 2)]
    assert torch.equal(first.first, again.first)
    assert not torch.equal(first.first, dataset[Draw(1, 5, 3)].first)
    assert np.isfinite(first.first.numpy()).all()


def test_points_are_drawn_in_the_box_that_the_backbone_sees() -> None:
    assert grids_of(method(second())) == (GRID,)
    assert grids_of(method(unet())) == ()
