"""Builds `pc_ssl._C` from csrc/: on the CPU always, with CUDA where a toolkit and a CUDA build of torch are found.

PC_SSL_CUDA=0 or 1 forces the choice, which is printed. Everything else stands in pyproject.toml.
"""

import os
from glob import glob

from setuptools import setup


def extension_arguments() -> dict:
    """`ext_modules` and `cmdclass`; nothing where torch is not there yet (metadata only)."""
    try:
        from torch.utils import cpp_extension
    except ImportError:
        return {}
    import torch

    forced = os.environ.get("PC_SSL_CUDA")
    if forced not in (None, "0", "1"):
        raise SystemExit(f"PC_SSL_CUDA must be 0 or 1, got {forced!r}")
    cuda = torch.version.cuda is not None and cpp_extension.CUDA_HOME is not None if forced is None else forced == "1"
    print(f"pc_ssl._C: CPU{' and CUDA' if cuda else ' only'} (torch {torch.__version__}, PC_SSL_CUDA={forced})")
    kind = cpp_extension.CUDAExtension if cuda else cpp_extension.CppExtension
    sources = sorted(glob("csrc/*.cpp") + glob("csrc/cpu/*.cpp") + (glob("csrc/cuda/*.cu") if cuda else []))
    extension = kind(
        "pc_ssl._C",
        sources,
        include_dirs=[os.path.abspath("csrc")],
        extra_compile_args={"cxx": ["-O3", "-std=c++17", "-fopenmp", "-Wall"], "nvcc": ["-O3", "-std=c++17"]},
        extra_link_args=["-fopenmp"],
    )
    return {"ext_modules": [extension], "cmdclass": {"build_ext": cpp_extension.BuildExtension.with_options(use_ninja=True)}}


setup(**extension_arguments())
