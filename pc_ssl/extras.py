"""Packages that only some commands need: the extras of pyproject.toml, and the error where one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from pc_ssl.errors import UserError

EXTRAS: dict[str, tuple[str, ...]] = {  # by extra, the modules that it installs
    "nuscenes": ("nuscenes", "pyquaternion", "shapely", "descartes"),
    "simulate": ("open3d", "shapely", "threadpoolctl"),
    "patchwork": ("pypatchworkpp",),
    "dask": ("distributed",),
    "hub": ("huggingface_hub",),
    "onnx": ("onnx", "onnxruntime"),
}


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Wraps the import of a module of an extra: `with extra("simulate", "simulating a street"): import open3d`.

    Args:
        name: a key of `EXTRAS`.
        purpose: the requested work, as the subject of "needs".

    Raises:
        UserError: a module of the extra is not installed; the message names the module and the extra to install. Any
            other import error is passed on unchanged.
    """
    modules = EXTRAS[name]
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in modules:
            raise
        raise UserError(
            f"{purpose} needs the package {missing}, which is not installed: pip install 'pc-ssl[{name}]'"
        ) from None
