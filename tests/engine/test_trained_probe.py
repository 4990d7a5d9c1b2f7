"""Linear probes by published protocols."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pc_ssl.cli.train import ProbeProtocolName
from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.downstream import build_task, probe
from pc_ssl.engine.trained_probe import PROTOCOLS, ProbeProtocol, folded, trained_points
from pc_ssl.engine.weights import read_tensors
from pc_ssl.structures import PointBatch, SegmentationBatch

STEPS = ["train.steps=4"]


def test_slidr_trains_with_the_published_numbers() -> None:
    slidr = PROTOCOLS["slidr"]
    assert (slidr.optimizer, slidr.learning_rate, slidr.momentum, slidr.dampening) == ("sgd", 0.05, 0.9, 0.1)
    assert (slidr.weight_decay, slidr.batch_size, slidr.voxel_size) == (1e-4, 16, 0.1)
    assert slidr.schedule.factors(0, 100).learning_rate == 1.0
    assert slidr.schedule.factors(50, 100).learning_rate == pytest.approx(0.5)
    assert set(PROTOCOLS) | {"best", "knn"} == {name.value for name in ProbeProtocolName}


def test_scalr_warms_up_and_ends_at_a_hundredth() -> None:
    """20 epochs, 2 of warm-up, 1e-3 to 1e-5."""
    scalr = PROTOCOLS["scalr"]
    rates = [scalr.learning_rate * scalr.schedule.factors(step, 2000).learning_rate for step in (0, 100, 200, 1999)]
    assert rates == pytest.approx([0.0, 5e-4, 1e-3, 1e-5], abs=1e-8)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_only_the_head_is_trained_and_the_result_names_the_protocol(
    name: str, street_cache: Cache, tmp_path: Path
) -> None:
    config = load_config(Path("smoke/segmentation"), STEPS)
    run = probe(config, street_cache, tmp_path / "run", seed=1, device="cpu", protocol=name)
    assert run.settings["protocol"] == name
    assert run.fit["steps"] == 4
    initial = build_task(config, street_cache, seed=1)
    tensors, _ = read_tensors(tmp_path / "run" / "weights.safetensors")
    for key, value in initial.backbone.state_dict().items():
        assert torch.equal(tensors[f"backbone.{key}"], value), key  # statistics of batch normalisation too
    assert not torch.equal(tensors["head.weight"], initial.head.weight)


def test_one_point_of_each_voxel_is_trained_on() -> None:
    """Two frames; voxels of 1 m: points 0 and 1 share one, 2 has its own, 3 is as 0 but in the other frame."""
    cloud = torch.tensor([[0.1, 0, 0, 1], [0.9, 0, 0, 1], [1.1, 0, 0, 1], [0.2, 0, 0, 1], [0.3, 0, 0, 1]])
    batch = SegmentationBatch(
        points=PointBatch.pack([cloud[:3], cloud[3:]]), label=torch.tensor([1, 2, 0, 4, 5]), tokens=("a", "b")
    )
    by_voxel = ProbeProtocol("sgd", 0.1, 0.0, PROTOCOLS["slidr"].schedule, 2, voxel_size=1.0)
    assert trained_points(batch, by_voxel, torch.Generator()).tolist() == [0, 3]  # 2 has no label
    few = ProbeProtocol("sgd", 0.1, 0.0, PROTOCOLS["slidr"].schedule, 2, max_points=1)
    drawn = trained_points(batch, few, torch.Generator().manual_seed(0)).tolist()
    assert len([row for row in drawn if row < 3]) <= 1
    assert len([row for row in drawn if row >= 3]) == 1


def test_batch_normalisation_is_folded_into_the_classifier() -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    with torch.no_grad():
        head[0].weight.uniform_(0.5, 2)
        head[0].bias.uniform_(-1, 1)
    for _ in range(3):
        head(torch.randn(50, 3) * 2 + 1)
    feature = torch.randn(7, 3)
    expected = head.eval()(feature)
    torch.testing.assert_close(folded(head)(feature), expected)
