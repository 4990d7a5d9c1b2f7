"""The CUDA kernels as the compilers see them: nvcc for each architecture, and the bindings against torch's headers.

Oracles: ptxas's own report, NVIDIA's occupancy calculator (cuda_occupancy.h), the tables in docs/NAME.md.
Without nvcc these tests skip.
"""

import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest
from torch.utils import cpp_extension

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"

pytestmark = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on this machine")

TYPES = ("float", "double", "__half", "__nv_bfloat16")
WIDTH = {"float": 4, "double": 2, "__half": 8, "__nv_bfloat16": 8}  # of 16 bytes
BITS = {"unsigned short": 8, "unsigned int": 4, "unsigned long": 2}


def load_report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kernel_report", CSRC / "testing/kernel_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


kernel_report = load_report()


@pytest.fixture(scope="module")
def compiled() -> dict:
    """Kernels by name of each architecture of each source. Fails where a warning comes up: warnings are errors."""
    return {
        source: {
            gpu.architecture: kernel_report.compile_kernels(source, gpu.architecture) for gpu in kernel_report.GPUS
        }
        for source in kernel_report.SOURCES
    }


def cuda_headers() -> str:
    plan = subprocess.run(["nvcc", "--dryrun", "-x", "cu", "/dev/null"], capture_output=True, text=True).stderr
    found = re.search(r'INCLUDES="-I([^"]+)"', plan)
    assert found is not None
    return found[1]


def test_every_type_and_width_is_compiled(compiled):
    reductions = itertools.product(("Sum", "Extremum"), TYPES)
    pools = {f"pool_kernel<{kind}, {t}, {v}>" for kind, t in reductions for v in (1, WIDTH[t])}
    combines = {f"combine_kernel<{kind}, {t}>" for kind, t in itertools.product(("Sum", "Extremum"), TYPES)}
    divides = {f"gather_kernel<divide, {t}, {v}>" for t in TYPES for v in (1, WIDTH[t])}
    moves = {f"gather_kernel<{kind}, {t}, {v}>" for kind in ("copy", "select") for t in BITS for v in (1, BITS[t])}
    plans = {"count_kernel", "scan_kernel", "move_kernel", "offsets_kernel"}
    for kernels in compiled["region_pool"].values():
        assert set(kernels) == pools | combines | divides | moves | plans


def test_boxes_of_both_types_and_both_ways_to_drop_are_compiled(compiled):
    of_type = {f"{kind}_kernel<{t}>" for kind, t in itertools.product(("box", "iou"), ("float", "double"))}
    rules = itertools.product(("mask", "drop"), ("Overlap", "Distance"), ("float", "double"))
    of_rule = {f"{kind}_kernel<{rule}, {t}>" for kind, rule, t in rules}
    for kernels in compiled["rotated_boxes"].values():
        assert set(kernels) == of_type | of_rule | {"choose_kernel"}
        assert {name: kernel.threads for name, kernel in kernels.items() if kernel.threads != 256} == {
            "choose_kernel": 512
        }


@pytest.mark.parametrize("source", kernel_report.SOURCES)
def test_no_kernel_spills_or_needs_a_stack(compiled, source):
    assert list(compiled[source]) == ["sm_80", "sm_90"]
    assert kernel_report.spilled_bytes(compiled[source]) == 0


def test_every_source_is_in_the_report():
    assert sorted(path.stem for path in (CSRC / "cuda").glob("*.cu")) == sorted(kernel_report.SOURCES)


def test_a_spill_in_the_report_is_read():
    entry = """ 'void pc_ssl::cuda::pool_kernel<pc_ssl::cuda::Sum, float, 4>(pc_ssl::cuda::PoolArgs<float>)' for 'sm_90'
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
    ptxas info : Used 48 registers, used 1 barriers, 640 bytes smem"""
    kernel = kernel_report.parse_kernel(entry)
    assert kernel == kernel_report.Kernel("pool_kernel<Sum, float, 4>", 256, 48, 640, 8, 4, 12)


OCCUPANCY = """
#include <cuda_occupancy.h>
#include <cstdio>
int main() {
  int major, threads, registers, shared, sm_shared;
  while (std::scanf("%d %d %d %d %d", &major, &threads, &registers, &shared, &sm_shared) == 5) {
    cudaOccDeviceProp device = {};
    device.computeMajor = major;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = 2048;
    device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.sharedMemPerBlock = 48 * 1024;
    device.sharedMemPerMultiprocessor = sm_shared;
    device.sharedMemPerBlockOptin = sm_shared - 1024;
    device.reservedSharedMemPerBlock = 1024;
    device.numSms = 108;
    cudaOccFuncAttributes function = {};
    function.maxThreadsPerBlock = 1024;
    function.numRegs = registers;
    function.sharedSizeBytes = shared;
    cudaOccDeviceState state;
    state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
    cudaOccResult result = {};
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &function, &state, threads, 0)) return 1;
    std::printf("%d\\n", result.activeBlocksPerMultiprocessor);
  }
}
"""


def test_occupancy_equals_nvidias_calculator(tmp_path):
    (tmp_path / "occupancy.cpp").write_text(OCCUPANCY)
    program = tmp_path / "occupancy"
    subprocess.run(["g++", f"-I{cuda_headers()}", str(tmp_path / "occupancy.cpp"), "-o", str(program)], check=True)
    registers, shared = (16, 32, 40, 41, 48, 63, 64, 65, 76, 91, 128, 153, 168, 170), (0, 32, 4096, 25664, 36864)
    asked = list(itertools.product(kernel_report.GPUS, (256, 512), registers, shared))
    lines = [f"{gpu.architecture[3]} {t} {r} {s} {gpu.shared_memory}" for gpu, t, r, s in asked]
    answer = subprocess.run([str(program)], input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    assert [gpu.resident_blocks(t, r, s) for gpu, t, r, s in asked] == [int(line) for line in answer.split()]


@pytest.mark.parametrize("source", kernel_report.SOURCES)
def test_the_page_holds_the_report(compiled, source):
    page = (ROOT / f"docs/{source}.md").read_text()
    if f"nvcc {kernel_report.compiler_version()};" not in page:
        pytest.skip("the page was made with another nvcc")
    traffic = kernel_report.traffic_table(compiled[source]) if source == "region_pool" else []
    for line in [*kernel_report.compiler_table(compiled[source]), *traffic]:
        assert line in page


@pytest.mark.parametrize("source", kernel_report.SOURCES)
def test_the_binding_compiles_against_torch_and_cuda_headers(source):
    """Syntax and types alone: a torch without CUDA has the headers, but no library to link with."""
    includes = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"], cuda_headers()]
    command = [
        "g++",
        "-std=c++20",
        "-fsyntax-only",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-DC10_CUDA_NO_CMAKE_CONFIGURE_FILE",
    ]
    search = [argument for folder in includes for argument in ("-isystem", folder)]
    subprocess.run([*command, *search, f"-I{CSRC}", str(CSRC / f"cuda/{source}_bind.cpp")], check=True)
