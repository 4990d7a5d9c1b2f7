"""SLIC superpixels.

Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 2012: k-means in colour and
position with a local search window around each centre:

    D^2 = |Lab_p - Lab_c|^2 + (compactness / S)^2 |p - c|^2,      S = sqrt(pixels / segments)

with the setting of SLidR (Sautier et al., CVPR 2022): 150 segments, compactness 6, and a Gaussian blur of 3 pixels.
Such a blur removes all detail beyond half the resolution, so the image is halved first, at a quarter of the cost;
borders of superpixels are then exact to two pixels. Pieces smaller than a quarter of S^2, as in the
authors' code, join the neighbour whose mean colour is closest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data_prep.superpixels.colour import lab_of
from data_prep.superpixels.connected import join_small_pieces
from data_prep.superpixels.kmeans import local_kmeans

BLUR_AFTER_SHRINKING = 1.5  # pixels of the shrunken image; a Gaussian of this width suppresses aliasing


@dataclass(frozen=True)
class SlicSuperpixels:
    """Segments an image into about `segments` compact superpixels of similar colour.

    Args:
        segments: approximate number of superpixels.
        compactness: weight of position against colour: a distance of S counts as this distance in Lab.
        blur: pixels; standard deviation of the Gaussian applied before segmentation.
        iterations: of assignment and update.
    """

    tensor: ClassVar[str] = "superpixel"
    segments: int = 150
    compactness: float = 6.0
    blur: float = 3.0
    iterations: int = 10

    def __call__(self, image: NDArray[np.uint8], name: str) -> NDArray[np.int32]:
        """image [H, W, 3] uint8 sRGB; the name is not used -> [H, W] int32, 0..S - 1 without gaps.

        Raises:
            ValueError: the image has another shape or dtype.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"slic: the image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
        height, width = image.shape[:2]
        shrink = max(1, int(self.blur / BLUR_AFTER_SHRINKING))
        lab = lab_of(image, self.blur, shrink)
        side = np.sqrt(lab[0].size / self.segments)
        label = local_kmeans(lab, self.segments, self.compactness / side, self.iterations)
        label = join_small_pieces(label, lab, int(side * side / 4))
        return np.repeat(np.repeat(label, shrink, axis=0)[:height], shrink, axis=1)[:, :width].copy()
