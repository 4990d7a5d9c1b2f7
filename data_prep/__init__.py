"""Preparation of caches from recordings. Each part is a separate module, so that commands import only what they run."""

__all__ = ["cache_folder", "jobs", "options", "pipeline", "reader", "readers", "stages"]
