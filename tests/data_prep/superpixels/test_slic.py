import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from data_prep.superpixels.colour import lab_of
from data_prep.superpixels.connected import join_small_pieces
from data_prep.superpixels.kmeans import local_kmeans
from data_prep.superpixels.slic import SlicSuperpixels


def explained_variation(lab: np.ndarray, label: np.ndarray) -> float:
    """Share of the colours' variance explained by the superpixels' means; lab [3, H, W]."""
    colour, flat = lab.reshape(3, -1).T.astype(float), label.ravel()
    count = np.bincount(flat)[:, None]
    mean = np.stack([np.bincount(flat, colour[:, channel]) for channel in range(3)], axis=1) / np.maximum(count, 1)
    centred = colour - colour.mean(axis=0)
    return float((count * (mean - colour.mean(axis=0)) ** 2).sum() / (centred**2).sum())


def patches(rng: np.random.Generator, rows: int, columns: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of one-coloured squares, and the square of each pixel."""
    colour = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    square = np.arange(rows * columns).reshape(rows, columns)
    return colour.repeat(side, 0).repeat(side, 1), square.repeat(side, 0).repeat(side, 1)


def smooth_image(seed: int, shape: tuple[int, int] = (90, 160)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(*shape, 3))
    smooth = ndimage.gaussian_filter(noise, (4, 4, 0))
    return np.clip(128 + 900 * smooth, 0, 255).astype(np.uint8)


def test_superpixels_are_connected_numbered_without_gaps_and_about_as_many_as_requested() -> None:
    for seed in range(3):
        label = SlicSuperpixels(segments=40)(smooth_image(seed), "any")
        assert label.shape == (90, 160)
        assert label.dtype == np.int32
        assert np.unique(label).tolist() == list(range(label.max() + 1))
        assert 28 <= label.max() + 1 <= 60
        for segment in range(label.max() + 1):
            assert ndimage.label(label == segment)[1] == 1


def test_superpixels_follow_edges_of_colour() -> None:
    image, square = patches(np.random.default_rng(0), 4, 6, 30)
    label = SlicSuperpixels(segments=100)(image, "any")
    majority = np.array([np.bincount(square[label == segment]).max() for segment in range(label.max() + 1)])
    assert majority.sum() / square.size > 0.97  # a regular grid of 100 cells: 0.83


def test_superpixels_explain_more_than_a_regular_grid() -> None:
    image = smooth_image(5)
    label = SlicSuperpixels(segments=60)(image, "any")
    lab = lab_of(image, 0.0, 1)
    rows, columns = np.indices(label.shape)
    grid = rows * 6 // 90 * 10 + columns * 10 // 160
    assert explained_variation(lab, label) > explained_variation(lab, grid) + 0.1


def test_the_same_image_gives_the_same_superpixels() -> None:
    slic = SlicSuperpixels()
    assert np.array_equal(slic(smooth_image(1), "a"), slic(smooth_image(1), "b"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 200), (37, 41)])
def test_images_of_any_size_are_segmented(shape: tuple[int, int]) -> None:
    label = SlicSuperpixels()(np.full((*shape, 3), 77, np.uint8), "any")
    assert label.shape == shape
    assert label.min() == 0


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_invalid_images_are_rejected(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image must be uint8"):
        SlicSuperpixels()(image, "any")


def test_lab_is_that_of_the_standard() -> None:
    # D65 white, mid grey and the primaries of sRGB, from CIE 15 / IEC 61966-2-1
    image = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [119, 119, 119]]], np.uint8)
    expected = [(100, 0, 0), (0, 0, 0), (53.24, 80.09, 67.20), (87.73, -86.18, 83.18), (32.30, 79.19, -107.86)]
    expected.append((50.03, 0, 0))
    assert np.allclose(lab_of(image, 0.0, 1)[:, 0].T, expected, atol=0.05)


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_blur_is_a_gaussian_with_mirrored_borders(sigma: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    blurred = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="reflect", truncate=4.0)
    sharp = lab_of(np.rint(blurred).astype(np.uint8), 0.0, 1)
    assert np.abs(lab_of(image, sigma, 1) - sharp).max() < 1.2  # half a step of 8 bits


def test_shrinking_gives_the_requested_blur() -> None:
    image = smooth_image(0)
    # the mean of two pixels has a variance of 1/4
    small, full = lab_of(image, 3.0, 2), lab_of(image, np.sqrt(3.0**2 - 1 / 4), 1)
    means = full.reshape(3, 45, 2, 80, 2).mean(axis=(2, 4))
    assert np.abs(small - means).max() < 0.5


def test_each_pixel_goes_to_the_closest_centre_in_reach() -> None:
    """One iteration, compared with all distances."""
    lab = lab_of(smooth_image(2, (24, 30)), 1.0, 1)
    rows, columns = np.indices((24, 30))
    start = rows * 3 // 24 * 4 + columns * 4 // 30  # 12 segments: 3 rows of 4
    pixel = np.concatenate([lab, 0.5 * np.stack([rows, columns])]).reshape(5, -1).T
    centre = np.stack([pixel[start.ravel() == k].mean(axis=0) for k in range(12)])
    distance = ((pixel[:, None] - centre) ** 2).sum(axis=2)
    reach = np.ceil(np.sqrt(24 * 30 / 12))
    low, high = np.floor(centre[:, 3:] / 0.5) - reach, np.floor(centre[:, 3:] / 0.5) + reach
    place = np.stack([rows, columns], axis=-1).reshape(-1, 1, 2)
    distance[~((place >= low) & (place <= high)).all(axis=2)] = np.inf
    label = local_kmeans(lab, 12, 0.5, 1)
    assert (label.ravel() == distance.argmin(axis=1)).mean() > 0.999  # float32 against float64 in ties


def test_small_components_are_merged_into_the_neighbour_of_the_closest_colour() -> None:
    label = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 2, 2, 1, 1], [0, 0, 0, 1, 1, 1]], np.int32)
    colour = np.zeros((3, 3, 6), np.float32)
    colour[0] = np.select([label == 0, label == 1], [10, 50], 40)
    assert join_small_pieces(label, colour, 3).tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert len(np.unique(join_small_pieces(label, colour, 2))) == 3
    assert len(np.unique(join_small_pieces(label, colour, 100))) == 1  # no component is large enough


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(1, 10))
def test_merged_segments_are_connected_large_enough_unions_of_components(
    seed: int, height: int, width: int, labels: int, least: int
) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, labels, (height, width)).astype(np.int32)
    joined = join_small_pieces(label, rng.normal(size=(3, height, width)).astype(np.float32), least)
    pieces = sum(ndimage.label(label == value)[1] for value in range(labels))
    assert np.unique(joined).tolist() == list(range(joined.max() + 1))
    assert joined.max() + 1 <= pieces
    for segment in range(joined.max() + 1):
        assert ndimage.label(joined == segment)[1] == 1
    sizes = np.bincount(joined.ravel())
    assert len(sizes) == 1 or sizes.min() >= least
    inside = (label[:, 1:] == label[:, :-1]) <= (joined[:, 1:] == joined[:, :-1])
    assert inside.all()  # no component is split
