"""The networks of a method or task that the engine initialises, checks and saves."""

from __future__ import annotations

from typing import Any

from pc_ssl.geometry import BevGrid
from pc_ssl.protocols import Method, Task


def networks_of(module: Method | Task) -> dict[str, Any]:
    """The submodules that `module.networks` names, each a `Network`.

    Raises:
        AttributeError: a name is not that of a submodule.
    """
    return {name: module.get_submodule(name) for name in module.networks}


def grids_of(module: Method | Task) -> tuple[BevGrid, ...]:
    """The boxes of the networks' grids; points outside them are ignored by the networks."""
    return tuple(network.grid for network in networks_of(module).values() if network.grid is not None)
