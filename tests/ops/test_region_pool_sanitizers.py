"""The op's own tests on kernels compiled with the address and undefined-behaviour sanitizers (g++, Linux)."""

import os
import shutil
import subprocess
import sys
import sysconfig
from glob import glob
from pathlib import Path

import pytest
from torch.utils import cpp_extension

ROOT = Path(__file__).parents[2]
FLAGS = [
    "-std=c++20", "-O1", "-g1", "-fPIC", "-fopenmp", "-fno-omit-frame-pointer", "-w",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
]  # fmt: skip
TESTS = ["test_region_pool.py", "test_region_pool_properties.py", "test_region_pool_determinism.py"]


@pytest.fixture(scope="module")
def sanitized_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of pc_ssl whose compiled part is sanitized."""
    folder = tmp_path_factory.mktemp("sanitized")
    shutil.copytree(ROOT / "pc_ssl", folder / "pc_ssl", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    sources = sorted(glob(str(ROOT / "csrc/*.cpp")) + glob(str(ROOT / "csrc/cpu/*.cpp")))
    includes = [f"-I{path}" for path in (ROOT / "csrc", *cpp_extension.include_paths(), sysconfig.get_path("include"))]
    objects = [str(folder / f"{Path(source).stem}.o") for source in sources]
    for source, compiled in zip(sources, objects, strict=True):
        subprocess.run(["g++", *FLAGS, *includes, "-c", source, "-o", compiled], check=True)
    libraries = [f"-L{path}" for path in cpp_extension.library_paths()] + ["-lc10", "-ltorch_cpu", "-ltorch"]
    target = folder / "pc_ssl" / f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run(["g++", *FLAGS, "-shared", *objects, *libraries, "-o", str(target)], check=True)
    return folder


def library(name: str) -> str:
    return subprocess.run(
        ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_no_finding(sanitized_package, capability):
    environment = {
        **os.environ,
        "ATEN_CPU_CAPABILITY": capability,
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')} {library('libstdc++.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # Python and torch keep memory to the end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": str(sanitized_package),
    }
    loaded = [sys.executable, "-c", "import torch, pc_ssl._C; print(pc_ssl._C.__file__)"]
    path = subprocess.run(
        loaded, env=environment, cwd=sanitized_package, capture_output=True, text=True, check=True
    ).stdout
    assert path.startswith(str(sanitized_package))

    tests = [str(ROOT / "tests/ops" / name) for name in TESTS]
    command = [sys.executable, "-m", "pytest", "-x", "-m", "not slow", "-p", "no:cacheprovider", "--capture=sys"]
    run = subprocess.run(
        [*command, f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), *tests],
        env=environment, cwd=sanitized_package, capture_output=True, text=True,
    )  # fmt: skip
    report = run.stdout + run.stderr
    assert "ERROR: AddressSanitizer" not in report, report
    assert "runtime error:" not in report, report
    assert run.returncode == 0, report
