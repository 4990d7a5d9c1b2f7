"""Preparation: recordings to caches. Each part is a module of its own, so that a command imports only what it runs."""

__all__ = ["cache_folder", "jobs", "options", "pipeline", "reader", "readers", "stages"]
