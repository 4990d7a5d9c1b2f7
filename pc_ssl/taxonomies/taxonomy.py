"""Names that a data set and its users agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

IGNORE = "ignore"  # name of class 0 of the point labels: points that are neither trained on nor counted
NO_ATTRIBUTE = "none"  # name of attribute 0: boxes without one


@dataclass(frozen=True)
class Taxonomy:
    """Classes and attributes of one data set.

    Args:
        label_classes: of points; index 0 is IGNORE.
        box_classes: of boxes, in the order in which a cache numbers them.
        detected_classes: those of `box_classes` in the detection task; they come first there.
        box_groups: `detected_classes` as CenterPoint's head groups them; empty: one group of all.
        small_classes: those of `detected_classes` that cover about one cell of a BEV map (TransFusion's queries).
        attributes: of boxes; index 0 is NO_ATTRIBUTE.
        attribute_of_class: class -> its attribute in motion and at rest.
        map_classes: of the map seen from above.
        class_of_category: name in the recording's own tables -> class of points and boxes.

    Raises:
        ValueError: the parts contradict one another.
    """

    label_classes: tuple[str, ...] = (IGNORE,)
    box_classes: tuple[str, ...] = ()
    detected_classes: tuple[str, ...] = ()
    box_groups: tuple[tuple[str, ...], ...] = ()
    small_classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    attribute_of_class: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    map_classes: tuple[str, ...] = ()
    class_of_category: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.label_classes[0] != IGNORE:
            raise ValueError(f"Taxonomy: label_classes[0] is {self.label_classes[0]!r}, expected {IGNORE!r}")
        if self.detected_classes != self.box_classes[: len(self.detected_classes)]:
            raise ValueError(f"Taxonomy: detected_classes {self.detected_classes} must come first in box_classes")
        grouped = [name for group in self.box_groups for name in group]
        if grouped and sorted(grouped) != sorted(self.detected_classes):
            raise ValueError(f"Taxonomy: box_groups {self.box_groups} must hold each detected class once")
        if not set(self.small_classes) <= set(self.detected_classes):
            raise ValueError(f"Taxonomy: small_classes {self.small_classes} must be among the detected classes")
        named = {name for pair in self.attribute_of_class.values() for name in pair}
        if not named <= set(self.attributes):
            raise ValueError(f"Taxonomy: attribute_of_class names {sorted(named - set(self.attributes))}")
