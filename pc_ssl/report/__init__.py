"""Figures and self-contained HTML pages of caches, runs and results, without a display; one module each."""

__all__ = ["activation", "bev_map", "boxes", "comparison", "curves", "downstream", "page", "pictures", "recording"]
