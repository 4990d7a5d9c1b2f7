"""Options of a cache: stages chosen by name, recorded in full in the manifest, and compared by later runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.projection import Occlusion
from data_prep.reader import Reader
from data_prep.regions import GENERATORS, GROUNDS
from data_prep.settings import apply_settings
from data_prep.stages import PairStage, ReadStage, Stages
from data_prep.superpixels import FROM_FOLDER, SUPERPIXELS, image_generator, is_image_generator
from pc_ssl.errors import UsageError, UserError

REVISION = 2  # of preparation's results; increment it when the same options give other bytes


def choose_stages(
    regions: Sequence[str] = ("dbscan",),
    *,
    ground: str = "strips",
    occlusion: bool = False,
    split: str | None = None,
    classes: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> Stages:
    """Choose stages by name.

    Args:
        regions: region generators of points, keys of `data_prep.regions.GENERATORS`, and of images, keys of
            `data_prep.superpixels.SUPERPIXELS` or KIND:FOLDER with a key of its FROM_FOLDER.
        ground: ground method, a key of `data_prep.regions.GROUNDS`.
        occlusion: drop point-pixel pairs of points that are occluded by nearer ones.
        split: name of a split of the data set; None prepares all frames.
        classes: names of the data set's label classes, for pseudo labels.
        settings: of fields of the stages, such as "regions.dbscan.eps=0.5".

    Raises:
        UsageError: a generator or a setting is unknown, or a generator is listed twice.
        UserError: a folder lacks files that its generator needs.
    """
    if ground not in GROUNDS:
        raise UsageError(f"ground: unknown method {ground!r}; known: {', '.join(GROUNDS)}")
    for name in regions:
        if name not in GENERATORS and not is_image_generator(name):
            known = ", ".join([*GENERATORS, *SUPERPIXELS, *(f"{kind}:FOLDER" for kind in FROM_FOLDER)])
            raise UsageError(f"regions: unknown generator {name!r}; known: {known}")
        if list(regions).count(name) > 1:
            raise UsageError(f"regions: {name!r} is listed twice")
    named = [image_generator(text, classes) for text in regions if text not in GENERATORS]
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"regions: two generators of images have the name {twice!r}")
    stages = Stages(
        read=ReadStage(split),
        ground=GROUNDS[ground],
        regions={name: GENERATORS[name] for name in regions if name in GENERATORS},
        images=dict(named),
        pairs=PairStage(Occlusion() if occlusion else None),
    )
    return apply_settings(stages, settings)


def manifest_options(reader: Reader, stages: Stages) -> dict[str, Any]:
    """All options that determine the cache's bytes, as JSON values.

    Raises:
        UsageError: the split is unknown; checked here, before options are compared.
    """
    known, split = reader.splits(), stages.read.split
    if split is not None and split not in known:
        raise UsageError(f"split: the data set has no {split!r}; known: {', '.join(known)}")
    written = reader.options() | stages.options() | {"revision": REVISION}
    return json.loads(json.dumps(written))  # as read from JSON: tuples become lists


def refuse_other_options(out: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Compare the options of the cache in `out` with the requested ones.

    Raises:
        UserError: they differ; the message lists all differences.
    """
    differences = [f"{name} is {was}, requested {wanted}" for name, was, wanted in _differences(found, asked)]
    if differences:
        advice = "choose another folder"
        if _without_regions(found) == _without_regions(asked):
            held, wanted = (_generators(options) for options in (found, asked))
            advice += ", or add regions to a finished cache with --add-regions"
            if wanted <= held:
                advice = f"the cache holds more regions: name all of them, --regions {','.join(sorted(held))}"
        raise UserError(f"{out}: was prepared with other options ({'; '.join(differences)}); {advice}")


def _generators(options: Mapping[str, Any]) -> set[str]:
    return {*options.get("regions", {}), *options.get("images", {})}


def _without_regions(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("regions", "images")}


def _differences(found: Any, asked: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted name, found, requested) of each different value."""
    if isinstance(found, Mapping) and isinstance(asked, Mapping):
        for key in [*found, *(key for key in asked if key not in found)]:
            dotted = f"{name}.{key}" if name else key
            yield from _differences(found.get(key, "absent"), asked.get(key, "absent"), dotted)
    elif found != asked:
        short = ["present" if isinstance(value, Mapping) else str(value) for value in (found, asked)]
        yield name, short[0], short[1]
