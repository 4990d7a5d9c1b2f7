"""The linear probe against scikit-learn's solver and against what it promises."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pc_ssl.heads.linear_probe import estimate_batch_norm, features_at, fit_linear, uniform_sample
from pc_ssl.models.features import PointFeatures
from pc_ssl.structures import PointBatch


class Pointwise(nn.Module):
    """Batch normalisation of the coordinates, then a fixed linear map: a backbone whose features are known."""

    out_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, affine=False)
        self.linear = nn.Linear(3, 4)

    def forward(self, points: PointBatch) -> PointFeatures:
        return PointFeatures(self.linear(self.norm(points.xyz)))


def blobs(points: int, seed: int) -> tuple[Tensor, Tensor]:
    """Overlapping classes 1, 2 and 3 in 5 dimensions of very different scales."""
    rng = np.random.default_rng(seed)
    label = rng.integers(1, 4, points)
    feature = rng.normal(size=(points, 5)) + np.eye(5)[label] * 2
    return torch.tensor(feature * [1, 100, 0.01, 5, 1] + 3, dtype=torch.float32), torch.tensor(label)


def test_equals_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    feature, label = blobs(400, seed=0)
    fit = fit_linear(feature, label, num_classes=4)
    standard = (feature - feature.mean(0)) / feature.std(0, correction=0)
    reference = LogisticRegression(C=1 / (1e-4 * 400), tol=1e-8, max_iter=5000).fit(standard.numpy(), label.numpy())
    ours = fit.head(feature).detach().softmax(dim=1).numpy()
    np.testing.assert_allclose(ours, reference.predict_proba(standard.numpy()), atol=2e-3)
    assert fit.gradient < 1e-4


def test_does_not_depend_on_the_scale_of_the_features() -> None:
    feature, label = blobs(300, seed=1)
    first = fit_linear(feature, label, num_classes=4).head(feature)
    second = fit_linear(feature * 1000 - 5, label, num_classes=4).head(feature * 1000 - 5)
    torch.testing.assert_close(first.softmax(1), second.softmax(1), atol=2e-3, rtol=0)


def test_same_features_give_the_same_bits() -> None:
    feature, label = blobs(300, seed=2)
    first, second = (fit_linear(feature, label, num_classes=4).head for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)


def test_constant_features_and_absent_classes_are_handled() -> None:
    feature, label = blobs(200, seed=3)
    feature = torch.cat([feature, torch.full((200, 1), 7.0)], dim=1)
    fit = fit_linear(feature, label, num_classes=17)
    prediction = fit.head(feature).argmax(dim=1) + 1
    assert set(prediction.tolist()) <= {1, 2, 3}
    assert (prediction == label).float().mean() > 0.8
    assert torch.all(fit.head.weight[:, 5] == 0)


@pytest.mark.parametrize("feature", [torch.empty(0, 3), torch.full((4, 3), torch.nan)])
def test_no_points_or_features_that_are_not_finite_are_refused(feature: Tensor) -> None:
    with pytest.raises(ValueError, match="fit_linear"):
        fit_linear(feature, torch.ones(len(feature), dtype=torch.int64), num_classes=4)


def test_drawn_points_are_labelled_and_keep_their_features() -> None:
    backbone = Pointwise().eval()
    points = PointBatch.pack([torch.arange(30.0).view(10, 3)])
    label = torch.tensor([0, 1, 2, 0, 3, 1, 0, 0, 2, 1])
    every = backbone(points).at_points(points)
    rows = uniform_sample(label, 4, torch.Generator().manual_seed(0))
    feature, drawn = features_at(backbone, points, rows), label[rows]
    assert feature.shape == (4, 4)
    for row, value in zip(feature, drawn, strict=True):
        assert int(value) in set(label[(every == row).all(dim=1)].tolist()) - {0}


def test_more_points_than_there_are_means_all_labelled_points_once() -> None:
    label = torch.tensor([0, 1, 2, 0, 3, 1, 0, 0, 2, 1])
    drawn = label[uniform_sample(label, 100, torch.Generator().manual_seed(0))]
    assert sorted(drawn.tolist()) == [1, 1, 1, 2, 2, 3]


def test_batch_norm_statistics_are_the_average_over_the_frames() -> None:
    backbone = Pointwise().eval()
    before = backbone.linear.weight.clone()
    generator = torch.Generator().manual_seed(0)
    clouds = [PointBatch.pack([torch.randn(50, 3, generator=generator) * 3 + 2]) for _ in range(4)]
    estimate_batch_norm(backbone, clouds, torch.device("cpu"))
    torch.testing.assert_close(backbone.norm.running_mean, torch.stack([c.xyz.mean(0) for c in clouds]).mean(0))
    torch.testing.assert_close(backbone.norm.running_var, torch.stack([c.xyz.var(0) for c in clouds]).mean(0))
    assert not backbone.training
    assert torch.equal(backbone.linear.weight, before)
