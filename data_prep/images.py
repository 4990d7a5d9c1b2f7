"""Checks of recorded images, which are stored unchanged in the cache."""

from __future__ import annotations

import io
from pathlib import Path

from pc_ssl.errors import UserError

MOST_PIXELS = 64_000_000  # per image; more indicate damage or an attack on memory
FORMATS = ("JPEG", "PNG")


def check_image(path: Path, content: bytes, formats: tuple[str, ...] = FORMATS) -> tuple[int, int]:
    """Decode an image to check that it is complete; a JPEG at an eighth of its size, in a tenth of the time.

    Returns:
        width and height, pixels.

    Raises:
        UserError: it has another format, cannot be decoded, is cut off, or has more than `MOST_PIXELS` pixels.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=list(formats)) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise UserError(f"{path}: the image has {width}x{height} pixels, expected at most {MOST_PIXELS}")
            image.draft("L", (width // 8 or 1, height // 8 or 1))
            image.load()
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be decoded as a {' or '.join(formats)} image ({reason})") from None
    return width, height


def check_size(path: Path, content: bytes, width: int, height: int) -> None:
    """`check_image` of an image of known size.

    Raises:
        UserError: as `check_image`, or the size in pixels differs.
    """
    size = check_image(path, content)
    if size != (width, height):
        raise UserError(f"{path}: the image has {size[0]}x{size[1]} pixels, but the tables say {width}x{height}")
