"""Precomputed superpixels: a folder of PNG label maps (of SAM, SEEM, SLidR, ...)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pc_ssl.data.label_maps import LARGEST
from pc_ssl.errors import UserError
from pc_ssl.files import inside

MODES = ("L", "P", "I;16", "I")  # one channel: 8 bits, 8 bits with a palette (the indices are the labels), 16 bits


@dataclass(frozen=True)
class LabelMaps:
    """Reads the label map of each image from `folder`/NAME.png, of the image's size; its values are the superpixels.

    NAME is the image's name in its data set; nuScenes: the token in sample_data.json, as in the published files of
    SLidR, Seal and SuperFlow.

    Raises:
        UserError: the folder does not exist.
    """

    tensor: ClassVar[str] = "superpixel"
    folder: str

    def __post_init__(self) -> None:
        if not Path(self.folder).is_dir():
            raise UserError(f"{self.folder}: no such folder; expected a folder of PNG label maps")

    def __call__(self, image: NDArray[np.uint8], name: str) -> NDArray[np.int32]:
        """image [H, W, 3], of which only the size is used -> [H, W] int32, values renumbered 0..S - 1 in ascending
        order.

        Raises:
            UserError: the map does not exist, is not a PNG image of one channel, is damaged, has another size, or has
                more superpixels than the cache supports.
        """
        from PIL import Image

        path = inside(Path(self.folder), f"{name}.png")
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                mode, (width, height) = picture.mode, picture.size
                if mode in MODES and (height, width) == image.shape[:2]:
                    value = np.array(picture)
        except FileNotFoundError:
            raise UserError(f"{path}: no such label map") from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{path}: cannot be decoded as a PNG image ({error})") from None
        if mode not in MODES:
            raise UserError(f"{path}: is a PNG image of mode {mode}, expected one channel of 8 or 16 bits")
        if (height, width) != image.shape[:2]:
            expected = f"{image.shape[1]}x{image.shape[0]}"
            raise UserError(f"{path}: has {width}x{height} pixels, but its image has {expected}")
        values, number = np.unique(value, return_inverse=True)
        if len(values) > LARGEST + 1:
            raise UserError(f"{path}: has {len(values)} distinct values, expected at most {LARGEST + 1} superpixels")
        return number.reshape(value.shape).astype(np.int32)
