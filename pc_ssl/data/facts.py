"""Facts of a cache from which config values are derived: classes, point features, the grid of the maps."""

from __future__ import annotations

from typing import Any

from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.derived import Facts
from pc_ssl.taxonomies import TAXONOMIES, Taxonomy


def facts_of(cache: Cache) -> Facts:
    """The facts of a cache, by the names of `derived.py`.

    Raises:
        UserError: the first frame cannot be read.
    """
    manifest = cache.manifest
    values = _of_classes(taxonomy_of(cache))
    if len(cache):
        values["point_features"] = len(cache.columns) - 3
    grid = manifest.options.get("bev_map")
    if isinstance(grid, dict):
        values |= {"map_reach": float(grid["reach"]), "map_cell_size": float(grid["cell_size"])}
    return Facts(str(cache.path / MANIFEST), values)


def facts_of_data_set(name: str, point_features: int) -> Facts:
    """The facts of a data set without a cache: one of TAXONOMIES, in its default form."""
    values = {**_of_classes(TAXONOMIES[name]), "point_features": point_features}
    if "map_names" in values:
        values |= {"map_reach": 50.0, "map_cell_size": 0.5}  # metres; as `pc-ssl prepare` rasterises maps
    return Facts(f"the data set {name}", values)


def taxonomy_of(cache: Cache) -> Taxonomy:
    """The classes of a cache: those of its manifest, with the taxonomy of its data set."""
    classes = {kind: tuple(names) for kind, names in cache.manifest.classes.items()}
    boxes = classes["box"]
    known = TAXONOMIES.get(cache.manifest.dataset, Taxonomy())
    asked_for = known.detected_classes
    agrees = bool(asked_for) and asked_for == boxes[: len(asked_for)]
    return Taxonomy(
        label_classes=classes["label"] or known.label_classes[:1],
        box_classes=boxes,
        detected_classes=asked_for if agrees else boxes,
        box_groups=known.box_groups if agrees else (),
        small_classes=known.small_classes if agrees else tuple(name for name in known.small_classes if name in boxes),
        attributes=classes.get("attribute", ()),
        map_classes=classes.get("map", ()),
    )


def _of_classes(taxonomy: Taxonomy) -> dict[str, Any]:
    """Facts about the classes that the data has."""
    found = {
        "label_names": taxonomy.label_classes[1:],
        "box_names": taxonomy.detected_classes,
        "map_names": taxonomy.map_classes,
    }
    values: dict[str, Any] = {name: names for name, names in found.items() if names}
    if "label_names" in values:
        values["num_classes"] = len(taxonomy.label_classes)
    if "box_names" in values:
        values["small_box_names"] = taxonomy.small_classes
    return values
