"""Longer proofs on the CUDA kernels' source, each in a process of its own.

The ops' tests from Python down to the threads, and that the host run notices a missing barrier. `make test-asan` runs
them under sanitizers.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import cpp_extension

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
HOST_TESTS = {  # of the kernels in each file
    "cuda/plan.cuh": "tests/ops/test_region_pool_cuda.py",
    "cuda/region_pool.cuh": "tests/ops/test_region_pool_cuda.py",
    "cuda/rotated_boxes.cuh": "tests/ops/test_rotated_boxes_cuda.py",
}
OWN_TESTS = (
    ("tests/ops/test_region_pool.py", "tests/ops/test_region_pool_properties.py"),
    ("tests/ops/test_rotated_boxes.py",),
)
PYTEST = ("-q", "-x", "-p", "no:cacheprovider", "--import-mode=importlib", "-m", "not slow")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
if shutil.which("g++") is None:
    pytestmark.append(pytest.mark.skip(reason="g++ is not on this machine"))

# Loads the binding over the CPU kernels, runs the tests, and makes sure that it was this source that ran.
RUN_WITH_BINDING = """
import ctypes, sys
import pytest, torch
import pc_ssl.ops
torch.set_num_threads(1)
torch.ops.load_library(sys.argv[1])
failed = pytest.main(sys.argv[2:])
launches = ctypes.CDLL(sys.argv[1]).shim_num_launches()
print(f"{launches} launches")
sys.exit(failed or launches == 0)
"""


def run(command: list[str], cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True)


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("binding") / "binding.so"
    includes = [argument for folder in cpp_extension.include_paths() for argument in ("-isystem", folder)]
    kernels = ["csrc/cuda/region_pool.cu", "csrc/cuda/rotated_boxes.cu"]
    sources = ["csrc/testing/bind_on_host.cpp", "csrc/testing/executor.cpp", "-x", "c++", *kernels]
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-fno-strict-aliasing", "-Wno-unknown-pragmas", "-Icsrc"]
    libraries = ["-x", "none", f"-L{cpp_extension.TORCH_LIB_PATH}", "-ltorch", "-ltorch_cpu", "-lc10"]
    command = ["g++", *flags, "-Icsrc/testing/include", *includes, *sources, *libraries, "-o", str(library)]
    subprocess.run(command, cwd=ROOT, check=True)
    return library


@pytest.mark.parametrize("tests", OWN_TESTS)
def test_the_ops_own_tests_pass_through_the_binding(binding, tests):
    done = run([sys.executable, "-c", RUN_WITH_BINDING, str(binding), *PYTEST, *tests])
    assert done.returncode == 0, done.stdout + done.stderr


def test_contracted_products_and_sums_change_no_choice_of_boxes():
    """nvcc rounds a product and its sum once; here g++ does so."""
    flags = Path("/proc/cpuinfo")
    if not flags.exists() or "fma" not in flags.read_text().split():
        pytest.skip("this processor has no fused multiply-add, or does not say so")
    tests = HOST_TESTS["cuda/rotated_boxes.cuh"]
    done = run([sys.executable, "-m", "pytest", *PYTEST, tests], CXXFLAGS="-O2 -mfma -ffp-contract=fast")
    assert done.returncode == 0, done.stdout + done.stderr


BARRIERS = [
    (file, match.start())
    for file in HOST_TESTS
    for match in re.finditer(r"__syncthreads\(\);", (CSRC / file).read_text())
]


@pytest.mark.parametrize(("file", "position"), BARRIERS)
def test_the_host_run_fails_without_this_barrier(tmp_path, file, position):
    shutil.copytree(CSRC, tmp_path / "csrc")
    (tmp_path / "tests/ops").mkdir(parents=True)
    for name in ("tests/ops/conftest.py", "tests/ops/cuda_on_host.py", HOST_TESTS[file]):
        shutil.copy(ROOT / name, tmp_path / name)
    source = (CSRC / file).read_text()
    (tmp_path / "csrc" / file).write_text(source[:position] + source[position:].replace("__syncthreads();", "", 1))
    done = run([sys.executable, "-m", "pytest", *PYTEST, HOST_TESTS[file]], cwd=tmp_path)
    assert "CalledProcessError" not in done.stdout  # it did compile
    assert done.returncode != 0  # a failure, or a crash where a place to write to was never filled in
