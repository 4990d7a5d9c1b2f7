"""Procedural streets: layout of roads and lots, scenery, parked vehicles, traffic and pedestrians."""

__all__ = ["layout", "scenery", "trip", "world"]
