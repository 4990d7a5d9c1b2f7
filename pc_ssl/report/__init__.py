"""Pictures and self-contained HTML pages of what was prepared, trained and measured; headless. Each is a module."""

__all__ = ["activation", "bev_map", "boxes", "comparison", "curves", "downstream", "page", "pictures", "recording"]
