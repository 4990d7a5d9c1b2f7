import pytest
import torch
from torch import nn

from pc_ssl.models.norm import RowNorm, set_norm_constants


def test_two_rows_and_more_are_normalised_as_torch_does() -> None:
    ours, torchs = RowNorm(3), nn.BatchNorm1d(3)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), torchs(x), rtol=0, atol=0)
    torch.testing.assert_close(ours.state_dict(), torchs.state_dict(), rtol=0, atol=0)


def test_a_single_row_takes_the_running_statistics_and_leaves_them() -> None:
    norm = RowNorm(2, eps=0.0)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 9.0]))
    x = torch.tensor([[3.0, 8.0]], requires_grad=True)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(2)(x)
    out = norm(x)
    assert out.tolist() == [[1.0, 2.0]]
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[1 / 2, 1 / 3]]))
    assert norm.running_mean.tolist() == [1.0, 2.0]
    assert int(norm.num_batches_tracked) == 0


def test_constants_reach_every_batch_norm_of_a_network() -> None:
    network = nn.Sequential(RowNorm(2), nn.Sequential(nn.BatchNorm2d(3), nn.LayerNorm(4, eps=1e-6)))
    set_norm_constants(network, 1e-3, 0.01)
    assert [(network[0].eps, network[0].momentum), (network[1][0].eps, network[1][0].momentum)] == [(1e-3, 0.01)] * 2
    assert network[1][1].eps == 1e-6


@pytest.mark.parametrize(("eps", "momentum"), [(0.0, 0.1), (1e-5, -0.1), (1e-5, 1.5)])
def test_constants_out_of_range_are_refused(eps: float, momentum: float) -> None:
    with pytest.raises(ValueError, match="batch norm"):
        set_norm_constants(nn.BatchNorm1d(2), eps, momentum)
