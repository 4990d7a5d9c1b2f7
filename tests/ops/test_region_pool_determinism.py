"""The same bits whoever computes them: any number of threads, any run, with or without a plan, any instruction set.

Sizes are such that the work is shared out: many points, regions longer than a piece (csrc/cpu/loops.h) and shorter.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from pc_ssl.ops import RegionPlan, region_gather, region_pool, region_softmax

REDUCES = ("mean", "sum", "max", "min")
CASES = {
    "one huge region": (30_000, 3, 1),
    "a few": (40_000, 20, 7),
    "many": (40_000, 33, 20_000),
    "wide": (3000, 600, 50),
}
case = pytest.mark.parametrize(("points", "channels", "num_regions"), CASES.values(), ids=CASES.keys())


@pytest.fixture(autouse=True)
def _threads_are_put_back() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def draw(points: int, channels: int, num_regions: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(points + channels + num_regions)  # torch's own numbers depend on the instruction set
    feature = torch.from_numpy(rng.normal(size=(points, channels))).to(dtype)
    return feature, torch.from_numpy(rng.integers(-1, num_regions, points))


def everything(feature: Tensor, region: Tensor, num_regions: int, plan: RegionPlan | None = None) -> dict[str, Tensor]:
    """All results and gradients of the family, by name."""
    results = {}
    feature = feature.detach().requires_grad_()
    for reduce in REDUCES:
        pooled = region_pool(feature, region, num_regions, reduce, plan)
        results[reduce] = pooled.detach()
        (results[f"{reduce} gradient"],) = torch.autograd.grad(pooled, feature, pooled.detach())
    results["gather"] = region_gather(results["mean"], region, plan)
    results["softmax"] = region_softmax(feature.detach(), region, num_regions, plan)
    results["order"] = RegionPlan.build(region, num_regions).order
    return results


def assert_same_bits(results: dict[str, Tensor], expected: dict[str, Tensor], who: str) -> None:
    for name, tensor in expected.items():
        assert torch.equal(results[name], tensor), f"{name} of {who}"


@case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_and_runs_agree(points, channels, num_regions, dtype):
    feature, region = draw(points, channels, num_regions, dtype)
    torch.set_num_threads(1)
    expected = everything(feature, region, num_regions)
    for threads, runs in ((1, 2), (2, 10), (3, 2)):
        torch.set_num_threads(threads)
        for run in range(runs):
            assert_same_bits(everything(feature, region, num_regions), expected, f"run {run} on {threads} threads")


@case
def test_a_plan_and_sorted_points_agree_with_unsorted_ids(points, channels, num_regions):
    feature, region = draw(points, channels, num_regions)
    plan = RegionPlan.build(region, num_regions)
    expected = everything(feature, region, num_regions)
    assert_same_bits(everything(feature, region, num_regions, plan), expected, "the plan")
    by_region = region.sort(stable=True).indices
    for reduce in REDUCES:
        pooled = region_pool(feature[by_region], region[by_region], num_regions, reduce)
        assert torch.equal(pooled, expected[reduce]), reduce


def test_strides_do_not_change_the_bits():
    feature, region = draw(5000, 48, 40)
    expected = everything(feature, region, 40)
    apart = torch.cat([feature, feature], dim=1)[:, :48]
    assert_same_bits(everything(apart, region, 40), expected, "rows that lie apart")
    assert_same_bits(everything(feature.T.contiguous().T, region.int(), 40), expected, "channels first")


# What a process computes, as hashes of the bytes (a NaN as 7: which NaN it is may differ). argv: this file.
# Softmax is left out: its exponentials are torch's.
TELL = """
import hashlib, json, runpy, sys
import torch
tests = runpy.run_path(sys.argv[1])
out = {"capability": torch.backends.cpu.get_cpu_capability()}
for name, case in tests["CASES"].items():
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        feature, region = tests["draw"](*case, dtype)
        feature[3:9, :2] = float("nan")
        feature[9, 0] = float("inf")
        for what, tensor in tests["everything"](feature, region, case[2]).items():
            if what == "softmax":
                continue
            tensor = tensor.masked_fill(tensor.isnan(), 7)
            out[f"{what}, {name}, {dtype}"] = hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy()).hexdigest()
print(json.dumps(out))
"""


def hashes_by(capability: str | None) -> dict[str, str]:
    environment = dict(os.environ) if capability is None else {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    run = subprocess.run(
        [sys.executable, "-c", TELL, __file__], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


@pytest.mark.slow
def test_instruction_sets_agree():
    expected = hashes_by("default")
    assert expected.pop("capability") in ("DEFAULT", "NO AVX")
    capabilities = {"default"}
    for capability in ("avx2", None):
        found = hashes_by(capability)
        capabilities.add(found.pop("capability"))
        assert found == expected, capability
    assert len(capabilities) > 1, "this machine has one instruction set only"
