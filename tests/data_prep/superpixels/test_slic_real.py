"""Quality on six real images, compared with scikit-image's in benchmarks/prepare_superpixels.py."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.superpixels.slic import SlicSuperpixels
from pc_ssl.data.images import decode_image

SCIKIT_IMAGE = {"segments": 112.0, "explained_variation": 0.8396, "boundary_recall": 0.4367}  # 0.25.2, SLidR's setting


@pytest.fixture(scope="module")
def images(real_root: Path) -> list[np.ndarray]:
    found = [decode_image(np.fromfile(path, np.uint8)) for path in sorted(real_root.glob("samples/CAM_*/*.jpg"))]
    assert len(found) == 6
    return found


def explained_variation(image: np.ndarray, label: np.ndarray) -> float:
    """Explained variation in OpenCV's Lab of the original image."""
    colour = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    flat = label.ravel()
    mean = np.stack([np.bincount(flat, plane) for plane in colour.T], axis=1) / np.bincount(flat)[:, None]
    return float(1 - ((colour - mean[flat]) ** 2).sum() / ((colour - colour.mean(axis=0)) ** 2).sum())


def boundary_recall(image: np.ndarray, label: np.ndarray) -> float:
    """Share of Canny edges at most 2 pixels from a border."""
    edge = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.4), 50, 100) > 0
    border = np.zeros(label.shape, np.uint8)
    border[:, 1:] |= label[:, 1:] != label[:, :-1]
    border[1:] |= label[1:] != label[:-1]
    return float((cv2.dilate(border, np.ones((5, 5), np.uint8)) > 0)[edge].mean())


@pytest.mark.parametrize("segments", [150, 88])
def test_explained_variation_and_boundary_recall_exceed_scikit_images(images: list[np.ndarray], segments: int) -> None:
    labels = [SlicSuperpixels(segments=segments)(image, "") for image in images]
    if segments < 150:  # the number of segments at the end is smaller as well
        assert np.mean([label.max() + 1 for label in labels]) < SCIKIT_IMAGE["segments"]
    for measure in (explained_variation, boundary_recall):
        reached = np.mean([measure(image, label) for image, label in zip(images, labels, strict=True)])
        assert reached >= SCIKIT_IMAGE[measure.__name__]
