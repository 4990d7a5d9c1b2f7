"""Self-supervised pretraining for LiDAR and LiDAR-camera networks.

network = pc_ssl.load("work_dirs/prc")              # or a published folder, or "owner/name" on the Hugging Face hub
features = pc_ssl.point_features(network, points)   # [N, 3 + F] -> [N, C]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pc_ssl.version import __version__

if TYPE_CHECKING:
    from pc_ssl.hub import load, point_features, push_to_hub, save_pretrained

__all__ = ["__version__", "load", "point_features", "push_to_hub", "save_pretrained"]


def __getattr__(name: str) -> Any:
    """The public functions, imported when first used: `import pc_ssl` alone loads no library."""
    if name not in __all__:
        raise AttributeError(f"module 'pc_ssl' has no attribute {name!r}")
    from pc_ssl import hub

    return getattr(hub, name)
