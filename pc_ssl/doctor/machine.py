"""What is installed: versions, extras, compiled parts, devices, threads."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from pc_ssl.doctor.op_checks import compiled
from pc_ssl.version import __version__

REQUIRED = {  # name -> distributions that bring it
    "numpy": ("numpy",),
    "numba": ("numba",),
    "safetensors": ("safetensors",),
    "mmengine": ("mmengine-lite", "mmengine"),
}
SPCONV = ("spconv", *(f"spconv-cu{cuda}" for cuda in (118, 120, 121, 124, 126)))
OPTIONAL = {  # distribution -> what it is for
    "nuscenes-devkit": "official detection scores, [nuscenes]",
    "open3d": "simulation and regions",
    "torch-scatter": "benchmarks",
    "transformers": "image networks and CLIP",
    "pypatchworkpp": "ground by Patchwork++, [patchwork]",
    "dask": "preparation on a cluster, [dask]",
    "wandb": "logs, [wandb]",
    "rerun-sdk": "pictures, [rerun]",
}


@dataclass(frozen=True)
class Part:
    """Something that is there or not.

    Args:
        name: of the part.
        found: its version or description; "" if it is missing.
        required: whether the package cannot work without it.
        about: what it is for.
    """

    name: str
    found: str
    required: bool = False
    about: str = ""

    @property
    def present(self) -> bool:
        return bool(self.found)

    def line(self) -> str:
        """One line of a table."""
        return f"{self.name:24} {self.found or 'missing':28} {self.about}".rstrip()


def parts() -> Iterator[Part]:
    """All parts, those that are always there first."""
    yield Part("pc_ssl", __version__, required=True)
    yield Part("python", platform.python_version(), required=True)
    yield Part("torch", torch.__version__, required=True)
    for name, brought_by in REQUIRED.items():
        yield Part(name, _first(brought_by), required=True)
    yield Part("spconv", _first(SPCONV), required=True, about="sparse convolution")
    yield Part("compiled ops", "CPU" if compiled() else "", about="without them, plain PyTorch computes the same")
    yield Part("compiled ops for CUDA", _cuda_ops(), about="for tensors on a GPU")
    for name, about in OPTIONAL.items():
        yield Part(name, _first((name,)), about=about)
    yield Part("GPUs", _gpus(), about="")
    yield Part("CPU cores", str(os.cpu_count()), about=f"{torch.get_num_threads()} threads of PyTorch")


def _first(distributions: Sequence[str]) -> str:
    """Version of the first of them that is installed, with its name where there are several; "" for none."""
    for name in distributions:
        try:
            return version(name) if len(distributions) == 1 else f"{version(name)} ({name})"
        except PackageNotFoundError:
            continue
    return ""


def _cuda_ops() -> str:
    if not torch.cuda.is_available():
        return ""
    registered = torch._C._dispatch_has_kernel_for_dispatch_key("pc_ssl::region_sum", "CUDA")
    return f"CUDA {torch.version.cuda}" if registered and compiled() else ""


def _gpus() -> str:
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names)
