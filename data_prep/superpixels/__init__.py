"""Generators of label maps of images: each is a frozen dataclass of parameters and a function (image, name) -> map.

To add a generator, add a file here and an entry in SUPERPIXELS, or in FROM_FOLDER if it needs files of the user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from data_prep.superpixels.clip import ClipPseudoLabels
from data_prep.superpixels.label_maps import LabelMaps
from data_prep.superpixels.sam import SamSuperpixels
from data_prep.superpixels.slic import SlicSuperpixels
from pc_ssl.errors import UsageError


class ImageGenerator(Protocol):
    """Labels the pixels of one image; a frozen dataclass, whose fields are recorded in the cache's manifest.

    `tensor`: what its map is in the cache: "superpixel" (segments of this image, -1 none) or "pseudo_label" (classes).
    """

    tensor: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, image: NDArray[np.uint8], name: str) -> NDArray[np.int32]:
        """image [H, W, 3] sRGB and its name in the data set -> [H, W] int32."""
        ...


SUPERPIXELS: dict[str, ImageGenerator] = {
    "slic": SlicSuperpixels(segments=150, compactness=6.0, blur=3.0, iterations=10),  # SLidR's setting
}

# Written KIND:FOLDER. The function gets the folder and the names of the data set's label classes, 0 is "ignore".
FROM_FOLDER: dict[str, Callable[[str, Sequence[str]], ImageGenerator]] = {
    "maps": lambda folder, classes: LabelMaps(folder),
    "sam": lambda folder, classes: SamSuperpixels(folder),
    "clip": lambda folder, classes: ClipPseudoLabels(folder, tuple(classes)),
}


def is_image_generator(text: str) -> bool:
    """Whether `text` names a generator of this package, not a generator of point regions."""
    return text in SUPERPIXELS or text.partition(":")[0] in FROM_FOLDER


def image_generator(text: str, classes: Sequence[str]) -> tuple[str, ImageGenerator]:
    """The generator named by `text`, and its name in the cache; label maps have the name of their folder.

    Args:
        text: a key of SUPERPIXELS, or KIND:FOLDER with a key of FROM_FOLDER.
        classes: names of the data set's label classes; 0 is "ignore".

    Raises:
        UsageError: `text` is neither.
        UserError: the folder lacks files that the generator needs.
    """
    kind, _, folder = text.partition(":")
    if text in SUPERPIXELS:
        return text, SUPERPIXELS[text]
    if kind not in FROM_FOLDER:
        known = ", ".join([*SUPERPIXELS, *(f"{name}:FOLDER" for name in FROM_FOLDER)])
        raise UsageError(f"regions: unknown generator {text!r} of images; known: {known}")
    if not folder:
        raise UsageError(f"regions: {kind!r} needs a folder: {kind}:FOLDER")
    name = Path(folder).resolve().name if kind == "maps" else kind
    return name or kind, FROM_FOLDER[kind](folder, classes)


__all__ = ["FROM_FOLDER", "SUPERPIXELS", "ImageGenerator", "image_generator", "is_image_generator"]
