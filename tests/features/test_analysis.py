"""Components, clusters and similar frames against numpy and hand-computed values."""

import math

import numpy as np
import pytest
import torch

from pc_ssl.features.analysis import fit_kmeans, fit_projection, similarity
from pc_ssl.features.recording import nearest_frames


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    feature = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)).double() * torch.arange(5, 0, -1) + 0.5
    unit = feature.numpy() / np.linalg.norm(feature.numpy(), axis=1, keepdims=True)
    centered = unit - unit.mean(axis=0)
    _, _, rows = np.linalg.svd(centered, full_matrices=False)
    found = fit_projection(feature)
    assert np.abs((found.axes.numpy() * rows[:3].T).sum(axis=0)) == pytest.approx(np.ones(3), abs=1e-9)
    component = centered @ found.axes.numpy()
    low, high = np.percentile(component, [2, 98], axis=0)
    expected = np.clip((component - low) / (high - low), 0, 1)
    np.testing.assert_allclose(found.colors(feature).numpy(), expected, atol=1e-9)


def test_a_point_without_a_feature_is_grey_and_in_no_cluster() -> None:
    feature = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert fit_projection(feature[:2]).colors(feature)[2].tolist() == [0.5] * 3
    assert fit_kmeans(feature[:2], 2, 0).clusters(feature)[2] == -1
    assert similarity(feature, feature[0]).tolist() == [1, 0, 0]


def test_clusters_are_the_directions_that_were_put_in() -> None:
    angle = torch.tensor([0.0, 0.1, 0.2, 2.0, 2.1, 2.2, 4.0, 4.1, 4.2])
    length = torch.linspace(0.1, 9, 9)
    feature = torch.stack([angle.cos(), angle.sin()], dim=1) * length[:, None]
    found = fit_kmeans(feature, 3, seed=1).clusters(feature).reshape(3, 3)
    assert (found == found[:, :1]).all()
    assert len(found[:, 0].unique()) == 3
    center = fit_kmeans(feature, 3, seed=1).centers[found[1, 0]]
    assert math.atan2(center[1], center[0]) == pytest.approx(2.1, abs=1e-6)


def test_no_more_clusters_than_directions() -> None:
    feature = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    assert len(fit_kmeans(feature, 5, 0).centers) == 2


def test_nearest_frames_are_the_most_similar_ones_and_frames_without_features_are_in_no_list() -> None:
    angle = torch.tensor([0.0, 1.0, 0.3])
    vectors = torch.cat([torch.stack([angle.cos(), angle.sin()], dim=1), torch.zeros(1, 2)])
    found = nearest_frames(["a", "b", "c", "empty"], vectors.double(), 2)
    assert [of["frame"] for of in found["a"]] == ["c", "b"]
    assert found["a"][0]["similarity"] == pytest.approx(math.cos(0.3), abs=1e-6)
    assert [of["frame"] for of in found["b"]] == ["c", "a"]
    assert found["empty"] == []
