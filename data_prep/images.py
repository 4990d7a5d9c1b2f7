"""Checks on recorded images, which the cache keeps as they are."""

from __future__ import annotations

import io
from pathlib import Path

from pc_ssl.errors import UserError

MOST_PIXELS = 64_000_000  # of one image; more is damage, or made to fill the memory
FORMATS = ("JPEG", "PNG")


def check_image(path: Path, content: bytes, formats: tuple[str, ...] = FORMATS) -> tuple[int, int]:
    """Decode an image far enough to know that all of it is there; a JPEG at an eighth of its size, a tenth of the time.

    Returns:
        its width and height, pixels.

    Raises:
        UserError: it is of another format, cannot be decoded, is cut off, or has more than `MOST_PIXELS` pixels.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=list(formats)) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise UserError(f"{path}: the image has {width}x{height} pixels, expected up to {MOST_PIXELS}")
            image.draft("L", (width // 8 or 1, height // 8 or 1))
            image.load()
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be decoded as a {' or '.join(formats)} image ({reason})") from None
    return width, height


def check_size(path: Path, content: bytes, width: int, height: int) -> None:
    """`check_image` of an image whose size is known.

    Raises:
        UserError: as there, or it is not of this size in pixels.
    """
    size = check_image(path, content)
    if size != (width, height):
        raise UserError(f"{path}: the image has {size[0]}x{size[1]} pixels, but the tables say {width}x{height}")
