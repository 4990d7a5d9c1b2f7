"""The CUDA kernels' own source as a library of the host: how it is compiled, called and handed tensors."""

import ctypes
import os
import shlex
import shutil
import subprocess
from glob import glob
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

ELEMENT = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}  # cuda/launch.h
GUARD = 64  # elements before and after every output, which no kernel may touch
SPOILED = -77


class Rows(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("element", ctypes.c_int),
    )


class Output:
    """A tensor that starts as rubbish, between guards."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        size = int(np.prod(shape))
        self.whole = torch.full((size + 2 * GUARD,), SPOILED, dtype=dtype)
        self.tensor = self.whole[GUARD : GUARD + size].view(shape)
        self.pointer = ctypes.c_void_p(self.tensor.data_ptr())

    def checked(self) -> Tensor:
        size = self.tensor.numel()
        assert (self.whole[:GUARD] == SPOILED).all()
        assert (self.whole[GUARD + size :] == SPOILED).all()
        return self.tensor.clone()  # without guards: a sanitizer shall see who reads beyond it


class Library:
    """csrc/testing/library.cpp."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))

    def schedule(self, seed: int) -> None:
        """Draw anew the order in which threads and blocks run."""
        self.library.shim_schedule(ctypes.c_uint64(seed))

    def call(self, name: str, *arguments: object) -> None:
        function = self.library[f"shim_{name}"]
        function.restype = ctypes.c_char_p
        failure = function(*arguments)
        if failure is not None:
            raise RuntimeError(failure.decode())


def integer(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)


def rows(feature: Tensor) -> Rows:
    return Rows(feature.data_ptr(), feature.stride(0), feature.shape[1], ELEMENT[feature.dtype])


def build_library(csrc: Path, library: Path) -> None:
    """Compile the kernels in `csrc` against the host's stand-ins for CUDA's headers; CXXFLAGS as usual."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not on this machine")
    flags = "-std=c++17 -O1 -shared -fPIC -fno-strict-aliasing -Wall -Wextra -Werror -Wno-unknown-pragmas"
    kernels = sorted(glob(f"{csrc}/cuda/*.cu"))
    sources = [*kernels, f"{csrc}/testing/executor.cpp", f"{csrc}/testing/library.cpp"]
    command = [compiler, *shlex.split(f"{flags} {os.environ.get('CXXFLAGS', '')}"), f"-I{csrc}/testing/include"]
    without_preload = {**os.environ, "LD_PRELOAD": ""}  # a sanitizer's library is for this process alone
    subprocess.run([*command, f"-I{csrc}", "-x", "c++", *sources, "-o", str(library)], check=True, env=without_preload)
