"""Builds `pc_ssl._C` from csrc/: on the CPU always, with CUDA where a toolkit and a CUDA build of torch are found.

PC_SSL_CUDA=0 or 1 forces the choice, which is printed. Without torch only the metadata can be built. All other
settings are in pyproject.toml.
"""

import os
from glob import glob

from setuptools import Extension, find_namespace_packages, setup
from setuptools.command.build_ext import build_ext


class TorchIsMissing(build_ext):
    def run(self) -> None:
        raise SystemExit(
            "pc_ssl._C is compiled against the torch that will run it, and this Python has none: "
            "install torch, then build with --no-build-isolation"
        )


def extension_arguments() -> dict:
    try:
        import torch
        from torch.utils import cpp_extension
    except ImportError:
        return {"ext_modules": [Extension("pc_ssl._C", [])], "cmdclass": {"build_ext": TorchIsMissing}}

    class BuildExtension(cpp_extension.BuildExtension):
        """Always runs ninja, which detects changes of sources, headers, torch's headers and flags."""

        def finalize_options(self) -> None:
            super().finalize_options()
            self.force = True  # setuptools does not detect changed headers
            self.build_temp = os.path.join("build", "objects")  # an editable install would use an empty folder

    forced = os.environ.get("PC_SSL_CUDA")
    if forced not in (None, "0", "1"):
        raise SystemExit(f"PC_SSL_CUDA must be 0 or 1, got {forced!r}")
    found = torch.version.cuda is not None and cpp_extension.CUDA_HOME is not None
    cuda = found if forced is None else forced == "1"
    if forced == "1" and not found:
        raise SystemExit(
            f"PC_SSL_CUDA=1 needs a CUDA build of torch and a CUDA toolkit: torch {torch.__version__} is built for "
            f"CUDA {torch.version.cuda}, and the toolkit is at {cpp_extension.CUDA_HOME} (CUDA_HOME)"
        )
    print(f"pc_ssl._C: CPU{' and CUDA' if cuda else ' only'} (torch {torch.__version__}, PC_SSL_CUDA={forced})")
    folders = ["csrc/*.cpp", "csrc/cpu/*.cpp"] + (["csrc/cuda/*.cpp", "csrc/cuda/*.cu"] if cuda else [])
    extension = (cpp_extension.CUDAExtension if cuda else cpp_extension.CppExtension)(
        "pc_ssl._C",
        sorted(source for folder in folders for source in glob(folder)),
        include_dirs=[os.path.abspath("csrc")],
        # torch adds the C++ standard and the ABI; its headers warn below C++20
        extra_compile_args={"cxx": ["-O3", "-fopenmp", "-Wall", "-Wno-c++20-extensions"], "nvcc": ["-O3"]},
        extra_link_args=["-fopenmp"],
    )
    return {"ext_modules": [extension], "cmdclass": {"build_ext": BuildExtension}}


def packages() -> list[str]:
    """The Python packages, and configs/ as pc_ssl.configs, so that an installed pc-ssl finds its configs by name."""
    configs = [os.path.basename(folder) for folder in sorted(glob("configs/*")) if os.path.isdir(folder)]
    own = find_namespace_packages(include=["pc_ssl*", "data_prep*"])
    return [*own, "pc_ssl.configs", *(f"pc_ssl.configs.{name}" for name in configs if name != "__pycache__")]


setup(packages=packages(), package_dir={"pc_ssl.configs": "configs"}, **extension_arguments())
