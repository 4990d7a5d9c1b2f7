"""What a cache shall hold: asked for by name, written into the manifest in full, compared when it is met again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.projection import Occlusion, PinholeCamera, pairs_of_cameras
from data_prep.reader import Reader
from data_prep.regions import GENERATORS, GROUNDS, Ground, RegionGenerator, SensorMount
from data_prep.superpixels import FROM_FOLDER, SUPERPIXELS, ImageGenerator, image_generator, is_image_generator
from pc_ssl.errors import UsageError, UserError

REVISION = 2  # of what preparation computes; raise it when the same options give other bytes than before


@dataclass(frozen=True)
class Recipe:
    """How a frame is made of what was recorded: the functions that options name. Small and picklable."""

    ground: Ground
    regions: Mapping[str, RegionGenerator]
    images: Mapping[str, ImageGenerator]
    occlusion: Occlusion | None

    def compile(self) -> None:
        """Run the kernels once, so that workers find them compiled on the disk instead of compiling each for itself."""
        xyz = np.zeros((100, 3), np.float32)  # enough for ground to be looked for
        ground = self.ground(xyz, SensorMount())
        for region_generator in self.regions.values():
            region_generator(xyz, ~ground, xyz[:, 2])
        pairs_of_cameras({"": PinholeCamera(64, 48, np.eye(3), np.eye(4))}, xyz, self.occlusion)
        for generator in self.images.values():
            if generator in SUPERPIXELS.values():  # those from a folder have no file for this image
                generator(np.zeros((48, 64, 3), np.uint8), "")


@dataclass(frozen=True)
class PrepareOptions:
    """What a cache shall hold. The same options and data give the same bytes.

    Args:
        split: name of a split of the data set; None prepares all frames.
        regions: region generators of points, keys of `data_prep.regions.GENERATORS`, and of images, keys of
            `data_prep.superpixels.SUPERPIXELS` or KIND:FOLDER with a key of its FROM_FOLDER.
        ground: how ground is found, a key of `data_prep.regions.GROUNDS`.
        occlusion: leave out the point-pixel pairs of points that nearer ones hide; SLidR keeps them.

    Raises:
        UsageError: an unknown generator, or one named twice.
    """

    split: str | None = None
    regions: tuple[str, ...] = ("dbscan",)
    ground: str = "strips"
    occlusion: bool = False

    def __post_init__(self) -> None:
        if self.ground not in GROUNDS:
            raise UsageError(f"ground: unknown way {self.ground!r} to find it; known: {', '.join(GROUNDS)}")
        for name in self.regions:
            if name not in GENERATORS and not is_image_generator(name):
                known = ", ".join([*GENERATORS, *SUPERPIXELS, *(f"{kind}:FOLDER" for kind in FROM_FOLDER)])
                raise UsageError(f"regions: unknown generator {name!r}; known: {known}")
            if self.regions.count(name) > 1:
                raise UsageError(f"regions: {name!r} is named twice")

    def recipe(self, classes: Sequence[str]) -> Recipe:
        """The functions; classes: names of the data set's label classes, which pseudo labels are given for.

        Raises:
            UserError: a folder that is named does not hold what its generator needs.
            UsageError: two have the same name in the cache.
        """
        regions = {name: GENERATORS[name] for name in self.regions if name in GENERATORS}
        named = [image_generator(text, classes) for text in self.regions if text not in GENERATORS]
        names = [name for name, _ in named]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"regions: two generators of images have the name {twice!r}")
        return Recipe(GROUNDS[self.ground], regions, dict(named), Occlusion() if self.occlusion else None)


def manifest_options(reader: Reader, options: PrepareOptions) -> dict[str, Any]:
    """All that the bytes depend on besides the data, as JSON values.

    Raises:
        UsageError: an unknown split; told first, as it would also be a difference to what a cache holds.
        UserError: a generator's folder does not hold what it needs.
    """
    known = reader.splits()
    if options.split is not None and options.split not in known:
        raise UsageError(f"split: the data set has no {options.split!r}; known: {', '.join(known)}")
    recipe = options.recipe(reader.classes()["label"])
    written = reader.options() | {
        "split": options.split,
        "ground": {"kind": options.ground, **asdict(recipe.ground)},
        "regions": {
            name: {"kind": type(generator).__name__, **asdict(generator)} for name, generator in recipe.regions.items()
        },
        "images": {
            name: {"kind": type(generator).__name__, "tensor": generator.tensor, **asdict(generator)}
            for name, generator in recipe.images.items()
        },
        "revision": REVISION,
    }
    if recipe.occlusion is not None:  # not named otherwise: caches from before there was a test are as good
        written["occlusion"] = asdict(recipe.occlusion)
    return json.loads(json.dumps(written))  # as it will be read back: tuples become lists


def refuse_other_options(out: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Compare the options of the cache in `out` with those asked for.

    Raises:
        UserError: they differ; each difference is named.
    """
    differences = [f"{name} is {was}, asked for {wanted}" for name, was, wanted in _differences(found, asked)]
    if differences:
        advice = "name another folder"
        if _without_regions(found) == _without_regions(asked):
            advice += ", or add regions to a finished cache with --add-regions"
        raise UserError(f"{out}: was prepared with other options ({'; '.join(differences)}); {advice}")


def _without_regions(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("regions", "images")}


def _differences(found: Any, asked: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted name, found, asked) of each value that differs."""
    if isinstance(found, Mapping) and isinstance(asked, Mapping):
        for key in [*found, *(key for key in asked if key not in found)]:
            dotted = f"{name}.{key}" if name else key
            yield from _differences(found.get(key, "absent"), asked.get(key, "absent"), dotted)
    elif found != asked:
        short = ["present" if isinstance(value, Mapping) else str(value) for value in (found, asked)]
        yield name, short[0], short[1]
