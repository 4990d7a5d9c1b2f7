"""Colours against the standard library and scikit-learn."""

import colorsys

import numpy as np
import pytest

from pc_ssl.report.palette import class_colors, distinct_colors, feature_colors, region_colors


def test_distinct_colors_are_hues_at_the_golden_ratio() -> None:
    expected = [
        colorsys.hsv_to_rgb((k * 0.6180339887498949) % 1, 0.65 + 0.35 * (k // 2 % 2), 0.95 - 0.30 * (k % 2))
        for k in range(20)
    ]
    np.testing.assert_allclose(distinct_colors(20), expected, atol=1e-9)


def test_neighbouring_regions_differ_visibly() -> None:
    colors = distinct_colors(300)
    for stride in (1, 2, 3, 4):
        assert np.abs(colors[stride:] - colors[:-stride]).max(axis=1).min() > 0.2


def test_points_of_no_region_are_grey() -> None:
    colors = region_colors(np.array([-1, 0, 3, -1]))
    assert np.ptp(colors[0]) == np.ptp(colors[3]) == 0
    assert np.ptp(colors[1]) > 0.3
    assert np.ptp(region_colors(np.array([-1, -1]))) == 0


def test_classes_have_the_colors_of_nuscenes() -> None:
    colors = class_colors(["ignore", "car", "sofa"])
    np.testing.assert_allclose(colors[1] * 255, [255, 158, 0])
    assert colors.shape == (3, 3)
    assert ((colors >= 0) & (colors <= 1)).all()


def test_feature_colors_are_principal_components() -> None:
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    feature = rng.normal(size=(500, 6)) * [9, 5, 3, 1, 0.5, 0.1]
    component = PCA(3, svd_solver="full").fit_transform(feature)
    ours = feature_colors(feature)
    inside = (ours > 0) & (ours < 1)
    for k in range(3):
        assert abs(np.corrcoef(ours[inside[:, k], k], component[inside[:, k], k])[0, 1]) == pytest.approx(1, abs=1e-6)


def test_features_of_one_channel_or_none_still_have_colors() -> None:
    assert feature_colors(np.arange(10.0)[:, None]).shape == (10, 3)
    assert np.isfinite(feature_colors(np.ones((5, 4)))).all()
    assert feature_colors(np.empty((0, 8))).shape == (0, 3)
