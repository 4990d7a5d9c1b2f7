import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.images import check_size
from pc_ssl.errors import UserError

PATH = Path("image.jpg")


def encoded(kind: str = "JPEG", size: tuple[int, int] = (160, 90)) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def test_a_whole_image_passes() -> None:
    check_size(PATH, encoded(), 160, 90)
    check_size(PATH, encoded(size=(5, 3)), 5, 3)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.1, 0.5, 0.9, 0.98])
def test_a_cut_off_image_is_rejected(part: float) -> None:
    content = encoded()
    with pytest.raises(UserError, match=r"image\.jpg: cannot be decoded as a JPEG or PNG image") as caught:
        check_size(PATH, content[: int(part * len(content))], 160, 90)
    assert "\n" not in str(caught.value)


def test_png_passes_and_another_format_is_rejected() -> None:
    check_size(PATH, encoded("PNG"), 160, 90)
    with pytest.raises(UserError, match="cannot be decoded as a JPEG or PNG"):
        check_size(PATH, encoded("GIF"), 160, 90)


def test_another_size_is_rejected() -> None:
    with pytest.raises(UserError, match=r"image\.jpg: the image has 160x90 pixels, but the tables say 1600x900"):
        check_size(PATH, encoded(), 1600, 900)
