"""Prompt templates of CLIP; the mean of their embeddings is the text embedding of a class.

The 80 templates that CLIP (Radford et al., ICML 2021) uses for ImageNet and the 5 that ViLD (Gu et al., ICLR 2022) and
MaskCLIP (Zhou et al., ECCV 2022) add, put together from the patterns that they follow.
"""

from __future__ import annotations

from collections.abc import Iterator

_PHOTO_QUALITIES = (
    *("bad", "good", "bright", "dark", "blurry", "pixelated", "cropped", "close-up"),
    *("low resolution", "black and white", "jpeg corrupted"),
)
_OBJECT_QUALITIES = ("hard to see", "clean", "dirty", "cool", "large", "nice", "weird", "small")
_PICTURES = ("sculpture", "rendering", "tattoo", "drawing", "painting", "sketch", "doodle", "rendition")
_MATERIALS = ("embroidered", "plastic", "origami", "toy", "cartoon", "plushie")


def _templates() -> Iterator[str]:
    for article in ("a", "the"):
        yield from (f"a {quality} photo of {article} {{}}." for quality in _PHOTO_QUALITIES)
        yield from (f"a photo of {article} {quality} {{}}." for quality in _OBJECT_QUALITIES)
        yield from (f"a {picture} of {article} {{}}." for picture in _PICTURES)
        yield from (f"{article} {material} {{}}." for material in _MATERIALS)
        yield from (f"{picture} of {article} {{}}." for picture in ("graffiti", "art"))
        yield f"{article} {{}} in a video game."
        yield f"there is {article} {{}} in the scene."
    yield from (f"a photo of {which} {{}}." for which in ("a", "the", "many", "my", "one"))
    yield from (f"itap of {which} {{}}." for which in ("a", "the", "my"))
    yield from (f"this is {which} {{}} in the scene." for which in ("a", "the", "one"))


TEMPLATES: tuple[str, ...] = tuple(_templates())
