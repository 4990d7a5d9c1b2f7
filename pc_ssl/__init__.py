"""Self-supervised pretraining for LiDAR and LiDAR-camera networks."""

from pc_ssl.version import __version__

__all__ = ["__version__"]
