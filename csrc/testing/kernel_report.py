"""What the compiler makes of the CUDA kernels, and what the memory traffic of region pooling lets one expect.

`python csrc/testing/kernel_report.py` compiles csrc/cuda/*.cu with nvcc for each architecture below, warnings as
errors, and prints the tables of docs/region_pool.md and docs/rotated_boxes.md. Nothing runs on a GPU: registers, spills
and shared memory are what ptxas says, occupancy and times are computed.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CSRC = Path(__file__).resolve().parents[1]
SOURCES = ("region_pool", "rotated_boxes")  # csrc/cuda/NAME.cu, docs/NAME.md
WARP = 32
SECTOR = 32  # bytes; the least that a GPU reads from memory


@dataclass(frozen=True)
class Gpu:
    """Limits of one multiprocessor (CUDA programming guide, table of compute capabilities) and of one product."""

    architecture: str
    product: str
    bandwidth: float  # bytes per second, data sheet
    multiprocessors: int
    shared_memory: int  # bytes of a multiprocessor
    registers: int = 65536
    register_step: int = 256  # registers are given out to warps in such steps
    warps: int = 64
    blocks: int = 32
    shared_memory_step: int = 128
    shared_memory_of_system: int = 1024  # per block

    def resident_blocks(self, threads: int, registers: int, shared_memory: int) -> int:
        """Blocks that a multiprocessor holds at a time."""
        warps = math.ceil(threads / WARP)
        per_warp = math.ceil(registers * WARP / self.register_step) * self.register_step
        # each of the four parts of a multiprocessor has a quarter of the registers
        by_registers = 4 * (self.registers // 4 // per_warp) // warps
        step = self.shared_memory_step
        per_block = math.ceil((shared_memory + self.shared_memory_of_system) / step) * step
        return min(self.warps // warps, self.blocks, by_registers, self.shared_memory // per_block)

    def occupancy(self, threads: int, registers: int, shared_memory: int) -> float:
        return self.resident_blocks(threads, registers, shared_memory) * threads / (self.warps * WARP)


GPUS = (
    Gpu("sm_80", "A100 SXM 80 GB", 2.039e12, 108, 164 * 1024),
    Gpu("sm_90", "H100 SXM", 3.35e12, 132, 228 * 1024),
)


@dataclass(frozen=True)
class Kernel:
    """One kernel as ptxas reports it."""

    name: str  # as in the source: pool_kernel<Sum, float, 4>
    threads: int
    registers: int
    shared_memory: int
    stack: int
    spill_stores: int
    spill_loads: int


def compile_kernels(source: str, architecture: str) -> dict[str, Kernel]:
    """The kernels by name of one of SOURCES. Raises CalledProcessError where nvcc finds an error or a warning."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "nvcc", "-std=c++17", "-O3", f"-arch={architecture}", "-Xptxas=-v", "-Werror=all-warnings",
            "-Xcompiler=-Wall,-Wextra,-Werror", f"-I{CSRC}", "-cubin", "-o", f"{folder}/out.cubin",
            str(CSRC / f"cuda/{source}.cu"),
        ]  # fmt: skip
        log = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    readable = subprocess.run(["c++filt"], input=log, check=True, text=True, capture_output=True).stdout
    kernels = (parse_kernel(entry) for entry in re.split("Compiling entry function", readable)[1:])
    return {kernel.name: kernel for kernel in sorted(kernels, key=lambda kernel: kernel.name)}


def parse_kernel(entry: str) -> Kernel:
    """`entry`: ptxas's lines on one kernel, names readable."""
    signature = re.search(r"'(?:void )?pc_ssl::cuda::(.+?)' for", entry)
    spills = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", entry)
    used = re.search(r"Used (\d+) registers", entry)
    if not (signature and spills and used):
        raise ValueError(f"ptxas's report reads differently than expected: {entry}")
    shared = re.search(r"(\d+) bytes smem", entry)
    name = re.sub(r"\(pc_ssl::cuda::Gather\)(\d)", lambda m: ("copy", "divide", "select")[int(m[1])], signature[1])
    name = name.replace("pc_ssl::cuda::", "").split("(")[0]
    return Kernel(name, threads_of(name), int(used[1]), int(shared[1]) if shared else 0, *map(int, spills.groups()))


def threads_of(name: str) -> int:
    """Threads of a block, from the constants in the source."""
    source = "".join((CSRC / f"cuda/{file}.cuh").read_text() for file in ("region_pool", "plan", "rotated_boxes"))
    value = {key: int(number) for key, number in re.findall(r"constexpr int (k\w+) = (\d+);", source)}
    if name.startswith("combine"):
        return value["kCombineWarps"] * WARP
    if name.startswith("choose"):
        return value["kChooseParts"] * value["kPanelWords"]
    if name.startswith(("box", "iou", "mask", "drop")):
        return value["kBoxThreads"]
    return value["kThreads"] if name.startswith(("pool", "gather")) else value["kPlanThreads"]


@dataclass(frozen=True)
class Workload:
    """Points of `channels` float32 in regions of one size, with int32 ids."""

    name: str
    points: int
    regions: int
    channels: int

    @property
    def width(self) -> int:
        return 4 if self.channels % 4 == 0 else 1

    @property
    def lanes(self) -> int:
        return min(WARP, 1 << max(0, math.ceil(math.log2(self.channels / self.width))))

    @property
    def pieces(self) -> int:
        return math.ceil(self.channels / (self.lanes * self.width))

    @property
    def fetched_row(self) -> float:
        """Bytes that reading one row at a place of its own moves, on average over where in a sector it begins."""
        row = 4 * self.channels
        step = math.gcd(row, SECTOR)
        return SECTOR * (1 + (row - step) / SECTOR) if row % SECTOR else row


WORKLOADS = (
    Workload("300,000 points, 200 regions, C = 64", 300_000, 200, 64),
    Workload("2,000,000 frustum points, 129,600 cells, C = 64", 2_000_000, 129_600, 64),
    Workload("347,000 points, 80,000 voxels, C = 5", 347_000, 80_000, 5),
)


@dataclass(frozen=True)
class Call:
    """What one call asks of the memory and of the machine."""

    name: str
    kernel: str  # the one that does the work
    bytes: float
    launches: int
    start: int  # trips to memory, one after the other, before all of a warp's loads are under way, over all launches
    warps: int
    trips: int  # of one warp after that


def calls(load: Workload) -> Iterator[Call]:
    n, r, c = load.points, load.regions, load.channels
    mean_size = math.ceil(n / r)
    search = math.ceil(math.log(r, WARP))
    chunks = r * math.ceil(mean_size / 128) if mean_size > 32 else 0
    partial = chunks * c * 4 * 2 if mean_size > 128 else 0  # written and read
    rows = n * load.fetched_row + 4 * n + 8 * r
    combines = 1 if n > 128 else 0
    groups = WARP // load.lanes
    pool_warps = (chunks or math.ceil(r / groups)) * load.pieces
    pool_trips = math.ceil(128 / groups / 4) if chunks else math.ceil(mean_size / 4)
    start = (search if chunks else 1) + 2 + combines * (3 if partial else 1)
    yield Call("plan", "move_kernel", plan_bytes(n, r), *plan_steps(n, r))
    sum_kernel, max_kernel = (f"pool_kernel<{kind}, float, {load.width}>" for kind in ("Sum", "Extremum"))
    yield Call("mean", sum_kernel, rows + partial + 4 * r * c, 1 + combines, start, pool_warps, pool_trips)
    yield Call("max", max_kernel, rows + 2 * partial + 8 * r * c, 1 + combines, start, pool_warps, pool_trips)
    gather_warps = math.ceil(n / (groups * 4)) * load.pieces
    for name, kind, table in (("mean, backward", "divide, float", 4 * r * c + 8 * r),
                              ("max, backward", "select, unsigned int", 8 * r * c),
                              ("gather", "copy, unsigned int", 4 * r * c)):  # fmt: skip
        yield Call(name, f"gather_kernel<{kind}, {load.width}>", 4 * n + table + 4 * n * c, 1, 1, gather_warps, 2)


def plan_bytes(points: int, regions: int) -> float:
    passes, bins = plan_passes(regions)
    places = 4 * 4 * bins * math.ceil(points / 2048)  # written, read and written, read
    first, later = 4 + 4 + 8, 4 + 8 + 8  # of a point: counted, read again, written
    return points * (first + later * (passes - 1)) + passes * places + 4 * points + 8 * regions


def plan_passes(regions: int) -> tuple[int, int]:
    bits = regions.bit_length()
    passes = math.ceil(bits / 8)
    return passes, 1 << math.ceil(bits / passes)


def plan_steps(points: int, regions: int) -> tuple[int, int, int, int]:
    """launches (with the one that clears the position of a bad id), start, warps, trips."""
    passes, _ = plan_passes(regions)
    search = points.bit_length()  # the offsets', a trip each
    return 3 * passes + 2, 5 * passes + search, math.ceil(points / 2048) * 8, 2


# Assumptions of the estimate, none of them measured here.
REACHABLE = 0.9  # of the data sheet's bandwidth, by a plain copy
LAUNCH = 3e-6  # seconds from the end of one kernel to the start of the next in the same stream
TRIP = 0.7e-6  # seconds to memory and back


def expected_seconds(call: Call, kernel: Kernel, gpu: Gpu) -> float:
    blocks = gpu.resident_blocks(kernel.threads, kernel.registers, kernel.shared_memory)
    waves = math.ceil(call.warps / (blocks * kernel.threads // WARP * gpu.multiprocessors))
    working = max(call.bytes / (REACHABLE * gpu.bandwidth), waves * call.trips * TRIP)
    return call.launches * LAUNCH + call.start * TRIP + working


def compiler_table(compiled: dict[str, dict[str, Kernel]]) -> list[str]:
    lines = [
        "| kernel | threads | registers, sm_80 / sm_90 | shared memory, bytes | occupancy, sm_80 / sm_90 |",
        "|---|---|---|---|---|",
    ]
    for name, first in compiled[GPUS[0].architecture].items():
        each = [compiled[gpu.architecture][name] for gpu in GPUS]
        registers = " / ".join(str(kernel.registers) for kernel in each)
        shared = " / ".join(str(size) for size in sorted({kernel.shared_memory for kernel in each}))
        occupancy = " / ".join(
            f"{gpu.occupancy(kernel.threads, kernel.registers, kernel.shared_memory):.0%}"
            for gpu, kernel in zip(GPUS, each, strict=True)
        )
        lines.append(f"| `{name}` | {first.threads} | {registers} | {shared} | {occupancy} |")
    return lines


def traffic_table(compiled: dict[str, dict[str, Kernel]]) -> list[str]:
    products = " / ".join(gpu.product for gpu in GPUS)
    lines = [
        f"| workload | call | launches | MB moved | limit, us, {products} | expected, us | share of the bandwidth |",
        "|---|---|---|---|---|---|---|",
    ]
    for load in WORKLOADS:
        for call in calls(load):
            limits = [call.bytes / gpu.bandwidth for gpu in GPUS]
            expected = [expected_seconds(call, compiled[gpu.architecture][call.kernel], gpu) for gpu in GPUS]
            columns = (
                " / ".join(f"{1e6 * value:.0f}" for value in limits),
                " / ".join(f"{1e6 * value:.0f}" for value in expected),
                " / ".join(f"{limit / value:.0%}" for limit, value in zip(limits, expected, strict=True)),
            )
            lines.append(
                f"| {load.name} | {call.name} | {call.launches} | {call.bytes / 1e6:.1f} | {' | '.join(columns)} |"
            )
    return lines


def compiler_version() -> str:
    found = re.search(r"release ([\d.]+), V([\d.]+)", subprocess.check_output(["nvcc", "--version"], text=True))
    return found[2] if found else "unknown"


def report() -> str:
    parts = []
    for source in SOURCES:
        compiled = {gpu.architecture: compile_kernels(source, gpu.architecture) for gpu in GPUS}
        spilled = f"spills and stack frames: {spilled_bytes(compiled)} bytes in all kernels together."
        parts += [f"nvcc {compiler_version()}; {spilled}", "", *compiler_table(compiled), ""]
        if source == "region_pool":
            parts += [*traffic_table(compiled), ""]
    return "\n".join(parts).rstrip()


def spilled_bytes(compiled: dict[str, dict[str, Kernel]]) -> int:
    every = (kernel for kernels in compiled.values() for kernel in kernels.values())
    return sum(kernel.stack + kernel.spill_stores + kernel.spill_loads for kernel in every)


if __name__ == "__main__":
    if shutil.which("nvcc") is None:
        raise SystemExit("kernel_report: nvcc is not on the path")
    print(report())
