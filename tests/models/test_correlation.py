import pytest
import torch
from torch.nn.functional import normalize

from pc_ssl.losses.correspondence import learned_foreground_contrast
from pc_ssl.models.correlation import SiameseCorrelation


def test_the_correlation_is_the_scaled_product_of_two_linear_maps() -> None:
    torch.manual_seed(0)
    module, z = SiameseCorrelation(4, 9).double(), torch.randn(5, 4, dtype=torch.float64)
    found = module(z)
    expected = torch.zeros(5, 5, dtype=torch.float64)
    for i in range(5):
        for j in range(5):
            expected[i, j] = (module.query.weight @ z[i]) @ (module.key.weight @ z[j]) / 3
    torch.testing.assert_close(found.query @ found.key.T, expected)


def test_it_computes_in_float32_under_autocast() -> None:
    module, z = SiameseCorrelation(4, 8), torch.randn(5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(z)
    assert found.query.dtype == found.key.dtype == torch.float32
    assert torch.equal(found.key, module(z).key)


def test_it_learns_to_weight_points_of_the_same_kind() -> None:
    """Two kinds of foreground whose embeddings stay; pairs of different kinds are as near as the background."""
    torch.manual_seed(0)
    kind = torch.arange(20) % 2
    noise = 0.05 * torch.randn(2, 30, 4)
    background = torch.tensor([0.7, 0.7, 0.0, 0.0]).expand(10, 4)
    first, second = (normalize(torch.cat([torch.eye(4)[kind], background]) + part, dim=1) for part in noise)
    foreground = torch.arange(30) < 20
    module = SiameseCorrelation(4, 8)
    same = kind[:, None] == kind

    def weight_of_the_same_kind() -> float:
        weight = (module(first).query[:20] @ module(second).key[:20].T).softmax(dim=1)
        return float((weight * same).sum(dim=1).mean().detach())

    before = weight_of_the_same_kind()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        learned_foreground_contrast(first, second, (module(first), module(second)), foreground, 0.1).backward()
        optimizer.step()
    assert before < 0.7
    assert weight_of_the_same_kind() > 0.95


def test_channels_must_be_positive() -> None:
    with pytest.raises(ValueError, match="correlation_channels"):
        SiameseCorrelation(4, 0)
