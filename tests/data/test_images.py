"""The decoder of recorded images."""

import io

import numpy as np
import pytest
from PIL import Image

from pc_ssl.data.images import decode_image


def encoded(image: Image.Image, kind: str, **options: object) -> np.ndarray:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return np.frombuffer(stream.getvalue(), np.uint8)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_ignored(orientation: int) -> None:
    """Calibrations refer to the sensor's pixels: a rotation by EXIF's orientation would invalidate pairs."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30, 0] = 250
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(Image.fromarray(pixels), "JPEG", exif=exif, quality=95))
    assert image.shape == pixels.shape
    assert image[5, 5, 0] > 200
    assert image[-5, -5].max() < 50


def test_16_bit_grey_keeps_its_contrast() -> None:
    grey = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    image = decode_image(encoded(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(image, np.repeat((grey >> 8)[..., None], 3, axis=2))


def test_channels_are_red_green_blue() -> None:
    image = decode_image(encoded(Image.new("RGB", (4, 3), (10, 20, 30)), "PNG"))
    assert image[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"no image"])
def test_what_is_not_an_image_is_rejected(content: bytes) -> None:
    with pytest.raises(ValueError, match="not an image"):
        decode_image(np.frombuffer(content, np.uint8))
