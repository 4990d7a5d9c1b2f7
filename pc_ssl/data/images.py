"""Decoder of recorded images, used by preparation and training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def decode_image(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG file.

    The pixels are those of the sensor, to which the calibration refers: EXIF orientation is not applied. Grey images
    are expanded to three equal channels, 16 bits are reduced to the upper 8.

    Args:
        content: [bytes] of the file.

    Returns:
        [H, W, 3] red, green, blue.

    Raises:
        ValueError: it cannot be decoded.
    """
    import cv2

    image = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(content) else None
    if image is None:
        raise ValueError("not an image that can be decoded")
    return np.ascontiguousarray(image[:, :, ::-1])
