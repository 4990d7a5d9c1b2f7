from dataclasses import replace

import pytest
import torch
from torch import nn

from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.methods.sim_ipu import JointBatch, JointViews, SimIPU
from pc_ssl.models.fusion import BevEncoder, ConvFuser
from pc_ssl.models.networks import grids_of
from pc_ssl.views.drawn import DrawnViews
from pc_ssl.views.lidar import Augmentation


@pytest.fixture
def method(toy_camera: nn.Module, second: nn.Module, drawn_views: DrawnViews) -> SimIPU:
    torch.manual_seed(0)
    encoder = BevEncoder(second, toy_camera, ConvFuser(second.out_channels, toy_camera.out_channels, 8))
    return SimIPU(encoder, JointViews(drawn_views, Augmentation()), 32, 16)


def batch(cache: Cache, method: SimIPU, frames: int) -> JointBatch:
    dataset = CacheScenes(cache, range(frames), "dbscan", method.views, grids=grids_of(method))
    return method.collate([dataset[Draw(row, 0, 0)] for row in range(frames)])


def test_both_branches_learn_together(street_cache: Cache, method: SimIPU) -> None:
    joint = batch(street_cache, method, 1)
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(20):
        terms = method(joint)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < 0.9 * losses[0]
    for branch in (method.backbone.lidar, method.backbone.camera):
        assert all(p.grad is not None for p in branch.parameters())


def test_the_loss_is_the_sum_of_its_terms(street_cache: Cache, method: SimIPU) -> None:
    terms = method(batch(street_cache, method, 2))
    assert terms["loss"].item() == pytest.approx(float(terms["intra_modal"] + terms["inter_modal"]), rel=1e-6)


def test_rows_are_the_same_points_in_both_views(street_cache: Cache, method: SimIPU) -> None:
    joint = batch(street_cache, method, 2).to("cpu")
    assert torch.equal(joint.first.points.points[:, 3:], joint.second.points[:, 3:])
    assert not torch.equal(joint.first.points.xyz, joint.second.xyz)
    assert len(joint.tokens) == 2


def test_a_batch_without_points_to_contrast_trains_on(street_cache: Cache, method: SimIPU) -> None:
    joint = batch(street_cache, method, 2)
    assert joint.first.drawn is not None
    nothing = replace(joint.first, drawn=joint.first.drawn[:0])
    terms = method(JointBatch(nothing, joint.second))
    terms["loss"].backward()
    assert terms["loss"].item() == 0


def test_a_missing_branch_is_refused(second: nn.Module, drawn_views: DrawnViews) -> None:
    with pytest.raises(ValueError, match="needs a LiDAR and a camera branch"):
        SimIPU(BevEncoder(second), JointViews(drawn_views, Augmentation()))
