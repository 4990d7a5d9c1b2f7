"""Names of categories and attributes in a recording's tables -> nuScenes' classes, with names of the user's own.

A file of classes is TOML: for each name of the recording the class of nuScenes that it stands for.

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
# nuScenes' categories that neither the detection task nor the lidarseg challenge asks for
WITHOUT_CLASS = (
    *("animal", "human.pedestrian.personal_mobility", "human.pedestrian.stroller", "human.pedestrian.wheelchair"),
    *("movable_object.debris", "movable_object.pushable_pullable", "vehicle.emergency.ambulance"),
    *("vehicle.emergency.police", "noise", "static.other", "vehicle.ego"),
)


@dataclass(frozen=True)
class ClassNames:
    """What names of the tables stand for.

    Args:
        category: the user's own categories -> a class of boxes or points, "other" or "ignore".
        attribute: the user's own attributes -> an attribute of nuScenes, "none" among them.
    """

    category: Mapping[str, str] = field(default_factory=dict)
    attribute: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> ClassNames:
        """Read a file of classes.

        Raises:
            UserError: it cannot be read, or names a class that nuScenes does not have.
        """
        try:
            content = tomllib.loads(read_bytes(path).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not readable as TOML ({error})") from None
        known = {"category": {*BOX_CLASSES, *LABEL_CLASSES}, "attribute": {*ATTRIBUTES}}
        for table, names in content.items():
            if table not in known or not isinstance(names, dict):
                raise UserError(f"{path}: {table!r} is not a known table; expected [category] and [attribute]")
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
        """Index into BOX_CLASSES; that of "other" for categories that the task leaves out, and for unknown ones."""
        name = self._class_of(category)
        return BOX_CLASSES.index(name if name in BOX_CLASSES else OTHER)

    def attribute_class(self, name: str) -> int:
        """Index into ATTRIBUTES; 0 for unknown ones."""
        name = self.attribute.get(name, name)
        return ATTRIBUTES.index(name) if name in ATTRIBUTES else 0

    def _class_of(self, category: str) -> str:
        return self.category.get(category) or CLASS_OF_CATEGORY.get(category, OTHER)
