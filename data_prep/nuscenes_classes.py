"""Mapping of category and attribute names in a recording's tables to nuScenes' classes, with user-defined names.

The file is TOML: for each name of the recording the corresponding class of nuScenes.

    [category]
    car = "car"
    other_vehicle = "truck"
    animal = "other"

    [attribute]
    is_stationary = "vehicle.parked"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.nuscenes_names import ATTRIBUTES, BOX_CLASSES, CLASS_OF_CATEGORY, LABEL_CLASSES
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes
from pc_ssl.taxonomies import IGNORE

OTHER = "other"
# nuScenes' categories without a class in the detection task and the lidarseg challenge
WITHOUT_CLASS = (
    *("animal", "human.pedestrian.personal_mobility", "human.pedestrian.stroller", "human.pedestrian.wheelchair"),
    *("movable_object.debris", "movable_object.pushable_pullable", "vehicle.emergency.ambulance"),
    *("vehicle.emergency.police", "noise", "static.other", "vehicle.ego"),
)


@dataclass(frozen=True)
class ClassNames:
    """Classes of the tables' names.

    Args:
        category: user-defined categories -> a class of boxes or points, "other" or "ignore".
        attribute: user-defined attributes -> an attribute of nuScenes or "none".
    """

    category: Mapping[str, str] = field(default_factory=dict)
    attribute: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> ClassNames:
        """Read a file of classes.

        Raises:
            UserError: it cannot be read, or contains a class that nuScenes does not have.
        """
        try:
            content = tomllib.loads(read_bytes(path).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not readable as TOML ({error})") from None
        known = {"category": {*BOX_CLASSES, *LABEL_CLASSES}, "attribute": {*ATTRIBUTES}}
        for table, names in content.items():
            if table not in known or not isinstance(names, dict):
                raise UserError(f"{path}: unknown table {table!r}, expected [category] and [attribute]")
            for name, target in names.items():
                if target not in known[table]:
                    choices = ", ".join(sorted(known[table]))
                    raise UserError(f"{path}: {table} {name!r} is {target!r}, expected one of {choices}")
        return ClassNames(content.get("category", {}), content.get("attribute", {}))

    def knows_category(self, name: str) -> bool:
        return name in self.category or name in CLASS_OF_CATEGORY or name in WITHOUT_CLASS

    def knows_attribute(self, name: str) -> bool:
        return name in self.attribute or name in ATTRIBUTES

    def label_class(self, category: str) -> int:
        """Index into LABEL_CLASSES; 0 for categories that the challenge ignores, and for unknown ones."""
        name = self._class_of(category)
        return LABEL_CLASSES.index(name if name in LABEL_CLASSES else IGNORE)

    def box_class(self, category: str) -> int:
        """Index into BOX_CLASSES; that of "other" for categories without a class in the task, and for unknown ones."""
        name = self._class_of(category)
        return BOX_CLASSES.index(name if name in BOX_CLASSES else OTHER)

    def attribute_class(self, name: str) -> int:
        """Index into ATTRIBUTES; 0 for unknown ones."""
        name = self.attribute.get(name, name)
        return ATTRIBUTES.index(name) if name in ATTRIBUTES else 0

    def _class_of(self, category: str) -> str:
        return self.category.get(category) or CLASS_OF_CATEGORY.get(category, OTHER)
