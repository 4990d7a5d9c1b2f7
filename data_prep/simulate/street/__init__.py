"""Procedural streets: the layout of roads and lots, what stands on them, and who moves there."""

__all__ = ["layout", "scenery", "trip", "world"]
