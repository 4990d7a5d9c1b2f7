"""Simulated recordings: `nuscenes` writes streets as a nuScenes data root, `scannet` rooms as ScanNet's."""

__all__ = ["nuscenes", "scannet"]
