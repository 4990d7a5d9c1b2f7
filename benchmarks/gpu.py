"""Acceptance of a GPU machine: every op, network and method is right there, and how fast the ops are.

    python benchmarks/gpu.py --json gpu.json

Needs this file tree, PyTorch, numpy and, for the networks, spconv; nothing else has to be installed. Builds the
extension in place with the compiler and the CUDA toolkit that are there, unless it is built already. Then:

1. `pc-ssl doctor` on the device: ops, backbones, heads and methods against references and against the CPU.
2. Times of region pooling, suppression of boxes, InfoNCE and a training step of PRC on the device, each beside the same
   work by plain PyTorch and, where it is installed, torch_scatter, in turn in one process. Times are medians of rounds;
   ratios are the peer's time over ours. Work that is bound by memory is also given as a share of the bandwidth that the
   device's own copy reaches.

Without a GPU it does all of this on the CPU.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

ROUNDS, WARM_UP = 15, 3
OURS = "pc_ssl"
Run = Callable[[], Any]


def main() -> None:
    """Build, examine, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="file of the findings")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of every measurement")
    options = parser.parse_args()
    has_cuda = torch.cuda.is_available()
    if options.device == "cuda" and not has_cuda:
        sys.exit("error: --device cuda: this build of torch sees no CUDA device")
    device = torch.device("cuda" if has_cuda and options.device != "cpu" else "cpu")
    built = build(device)

    from pc_ssl.doctor import examine
    from pc_ssl.files import write_json

    examination = examine(device)
    print(examination.text())
    measured = measure(device, options.rounds)
    print("\n" + "\n".join(line(case) for case in measured))
    findings = {
        "machine": machine(device), "built": built, "doctor": examination.as_json(), "measured": measured,
    }  # fmt: skip
    options.json.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.json, findings)
    print(f"\n{options.json}")
    wrong = [outcome.check for outcome in examination.outcomes if outcome.status.value == "wrong"]
    sys.exit(f"error: wrong: {', '.join(wrong)}" if wrong else 0)


def build(device: torch.device) -> dict[str, Any]:
    """Build the extension in place if it is missing or has no kernels for the device."""
    try:
        importlib.import_module("pc_ssl._C")
        missing = device.type == "cuda" and not torch._C._dispatch_has_kernel_for_dispatch_key(
            "pc_ssl::region_sum", "CUDA"
        )
        if not missing:
            return {"by": "an earlier build"}
        why = "the extension has no CUDA kernels"
    except ImportError as error:
        why = str(error)
    print(f"building the extension: {why}", flush=True)
    start = time.monotonic()
    environment = os.environ | {"PC_SSL_CUDA": "1" if device.type == "cuda" else "0"}
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-3000:])
        print("the extension is not built; plain PyTorch is measured instead of it", flush=True)
    elif missing_after_import():
        os.execv(sys.executable, [sys.executable, *sys.argv])  # the old extension is loaded already
    return {"by": "this run", "ok": done.returncode == 0, "seconds": round(time.monotonic() - start, 1), "why": why}


def missing_after_import() -> bool:
    """Whether this process loaded the extension before it was built anew."""
    return "pc_ssl._C" in sys.modules


def measure(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """All cases: seconds of each candidate, ratios to ours, and shares of the copy's bandwidth."""
    copy = copy_bandwidth(device, rounds)
    cases: list[dict[str, Any]] = [{"case": "copy", "gb_per_s": round(copy / 1e9, 1)}]
    large = device.type == "cuda"
    for points in (35_000, 1_000_000) if large else (35_000,):
        for reduce in ("mean", "max"):
            candidates, moved = pooling(points, 64, 2000, reduce, device)
            cases.append(compared(f"region_pool {reduce}, {points} x 64", candidates, device, rounds, moved, copy))
    cases.append(compared("rotated_nms, 1000 boxes", suppression(1000, device), device, rounds))
    cases.append(compared("info_nce, 2048 x 64", contrast(2048, device), device, rounds))
    try:
        cases.append(compared("training step of PRC", training_step(device), device, rounds))
    except ModuleNotFoundError as error:
        cases.append({"case": "training step of PRC", "missing": error.name})
    return cases


def pooling(points: int, channels: int, regions: int, reduce: Any, device: torch.device) -> tuple[dict[str, Run], int]:
    """Forward and backward, and the bytes that they move at least."""
    from pc_ssl.ops import region_pool

    rng = np.random.RandomState(0)
    feature = torch.from_numpy(rng.normal(size=(points, channels))).float().to(device).requires_grad_()
    region = torch.from_numpy(rng.randint(0, regions, points)).to(device)
    index = region[:, None].expand(-1, channels)
    name = "amax" if reduce == "max" else reduce

    def backward(pooled: Tensor) -> None:
        feature.grad = None
        pooled.sum().backward()

    def plain() -> None:
        zeros = feature.new_zeros(regions, channels)
        backward(zeros.scatter_reduce(0, index, feature, name, include_self=False))

    candidates: dict[str, Run] = {
        OURS: lambda: backward(region_pool(feature, region, regions, reduce)),
        "torch.scatter_reduce": plain,
    }
    try:
        import torch_scatter

        candidates["torch_scatter"] = lambda: backward(
            torch_scatter.scatter(feature, region, 0, dim_size=regions, reduce=reduce)
        )
    except ImportError:
        pass
    return candidates, 2 * (4 * channels * (points + regions) + 8 * points)


def suppression(boxes: int, device: torch.device) -> dict[str, Run]:
    """Rotated suppression, beside all overlaps and a greedy loop."""
    from pc_ssl.ops import rotated_iou_bev, rotated_nms

    rng = np.random.RandomState(1)
    columns = [
        rng.uniform(-50, 50, (boxes, 2)),
        np.zeros(boxes),
        rng.uniform(1, 5, (boxes, 3)),
        rng.uniform(-3, 3, boxes),
    ]
    box = torch.from_numpy(np.column_stack(columns)).float().to(device)
    score = torch.from_numpy(rng.permutation(boxes) / boxes).float().to(device)

    def greedy() -> Tensor:
        order = score.argsort(descending=True)
        drops = (rotated_iou_bev(box[order], box[order]) > 0.2).cpu().numpy()
        alive = np.ones(boxes, dtype=bool)
        for row in range(boxes):
            if alive[row]:
                alive[row + 1 :] &= ~drops[row, row + 1 :]
        return order[torch.from_numpy(np.flatnonzero(alive)).to(device)]

    return {OURS: lambda: rotated_nms(box, score, 0.2), "overlaps and a loop": greedy}


def contrast(rows: int, device: torch.device) -> dict[str, Run]:
    """InfoNCE of matched rows, forward and backward, beside a cross-entropy of all similarities."""
    from pc_ssl.losses.info_nce import info_nce

    rng = np.random.RandomState(2)
    first, second = (torch.from_numpy(rng.normal(size=(rows, 64))).float().to(device) for _ in range(2))
    first, second = (torch.nn.functional.normalize(one, dim=1).requires_grad_() for one in (first, second))
    target = torch.arange(rows, device=device)

    def plain() -> None:
        torch.nn.functional.cross_entropy(first @ second.T / 0.1, target).backward()

    return {OURS: lambda: info_nce(first, second, temperature=0.1).backward(), "torch.cross_entropy": plain}


def training_step(device: torch.device) -> dict[str, Run]:
    """A step of gradient descent of PRC on two small frames."""
    from pc_ssl.doctor.networks import fixed_weights
    from pc_ssl.doctor.training_checks import batch_of, methods

    method = methods()["prc"]()
    network, batch = fixed_weights(method).to(device), batch_of(method).to(device)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)

    def step() -> None:
        optimiser.zero_grad()
        network(batch)["loss"].backward()
        optimiser.step()

    return {OURS: step}


def compared(
    case: str, candidates: dict[str, Run], device: torch.device, rounds: int, moved: int = 0, copy: float = 0.0
) -> dict[str, Any]:
    """Median seconds of each candidate, in turn, and the ratios to ours."""
    from pc_ssl.doctor.checks import timed

    for run in candidates.values():
        for _ in range(WARM_UP):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds):
        names = list(candidates)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[name].append(timed(candidates[name], device)[0])
    median = {name: statistics.median(values) for name, values in seconds.items()}
    found: dict[str, Any] = {"case": case, "ms": {name: round(1000 * value, 4) for name, value in median.items()}}
    found["ratio"] = {name: round(value / median[OURS], 2) for name, value in median.items() if name != OURS}
    if moved:
        found["share_of_copy"] = round(moved / median[OURS] / copy, 3)
    return found


def copy_bandwidth(device: torch.device, rounds: int) -> float:
    """Bytes a second that a copy of a large tensor reads and writes."""
    from pc_ssl.doctor.checks import timed

    size = 2**28 if device.type == "cuda" else 2**25
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    times = [timed(lambda: target.copy_(source), device)[0] for _ in range(WARM_UP + rounds)]
    return 2 * size / statistics.median(times[WARM_UP:])


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU",
        "torch": torch.__version__, "cuda": torch.version.cuda, "threads": torch.get_num_threads(),
        "cores": os.cpu_count(), "python": platform.python_version(),
    }  # fmt: skip


def line(case: dict[str, Any]) -> str:
    """One case, for a terminal."""
    if "ms" not in case:
        return f"{case['case']:34} " + ", ".join(f"{key} {value}" for key, value in case.items() if key != "case")
    ratios = ", ".join(f"{ratio:.2f} times as fast as {name}" for name, ratio in case["ratio"].items())
    share = f", {case['share_of_copy']:.0%} of the copy's bandwidth" if "share_of_copy" in case else ""
    return f"{case['case']:34} {case['ms'][OURS]:9.3f} ms  {ratios}{share}"


if __name__ == "__main__":
    main()
