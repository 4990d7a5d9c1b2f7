"""Arguments of constructors that follow from the data or from another part, so that configs can omit them.

A constructor marks them in its signature:

    def __init__(self, backbone: Backbone, num_classes: NumClasses = 17) -> None

and stays an ordinary constructor. `RunConfig.build` fills such an argument where the config leaves it out, and refuses
a value that contradicts what it follows from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Derived:
    """Source of a derived argument.

    Args:
        fact: name in `Facts.values`; or `part.out_channels`, the channels of the argument `part` of an enclosing
            constructor.
        choice: whether a config may set another value: fewer of the classes, or another number.
    """

    fact: str
    choice: bool = False


@dataclass(frozen=True)
class Facts:
    """Facts about the data that a config is built for.

    Args:
        source: origin of the facts, for error messages.
        values: by name; a fact that the data does not have is absent.
    """

    source: str
    values: Mapping[str, Any] = field(default_factory=dict)


FeaturesPerPoint = Annotated[int, Derived("point_features")]  # point features besides x, y, z
NumClasses = Annotated[int, Derived("num_classes")]  # of points, with `ignore` as class 0
LabelNames = Annotated[tuple[str, ...], Derived("label_names", choice=True)]  # of points, without `ignore`
BoxNames = Annotated[tuple[str, ...], Derived("box_names", choice=True)]  # those that the detection task asks for
SmallBoxNames = Annotated[tuple[str, ...], Derived("small_box_names", choice=True)]
MapNames = Annotated[tuple[str, ...], Derived("map_names")]
MapReach = Annotated[float, Derived("map_reach")]  # metres
MapCellSize = Annotated[float, Derived("map_cell_size")]  # metres
BackboneChannels = Annotated[int, Derived("backbone.out_channels")]
LidarChannels = Annotated[int, Derived("lidar.out_channels")]
CameraChannels = Annotated[int, Derived("camera.out_channels")]
FusedChannels = Annotated[int, Derived("lidar.out_channels", choice=True)]


@runtime_checkable
class GivesChannels(Protocol):
    """A part of a network that determines the number of channels of others."""

    out_channels: int
