"""Procedural rooms: furniture, layout, light, and a scan of them. `data_prep/simulate/scannet.py` writes the files."""

__all__ = ["files", "layout", "room", "scan"]
