"""Region pooling against its peers on the CPU, interleaved in one process, with the bandwidth limit of the machine.

    python benchmarks/region_pool.py --json work_dirs/bench/region_pool.json

One line per case: the best peer, how far ahead we are of it, and our multiple of the limit, which is the time that the
machine's own copy takes in the same rounds to move the same bytes once: features, ids and pooled rows, and for forward
+ backward the gradients too. Each round runs every candidate once, in a new order. Times are the least over the rounds,
since other programs only ever add to them; the medians stand in the JSON. A peer three times behind the best one in the
first round is not run again in that case, and one ten times behind not in larger cases of the kind either. A plot is
written next to the JSON.

The peers get what their users would give them: sorted ids or a plan let segment_csr, segment_reduce and the sparse
product prepare offsets, order or matrix outside the clock. torch_scatter takes part where it is installed.

Everything runs in one process, so all share one allocator. `--allocator keeping` starts the process with settings of
glibc that keep freed memory and put it in huge pages, for ours and the peers alike; `default` sets nothing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from pc_ssl.files import whole_file, write_json
from pc_ssl.ops import RegionPlan, region_pool

try:
    import torch_scatter
except ImportError:
    torch_scatter = None

Run = Callable[[Tensor], Tensor]

POINTS, CHANNELS, REGIONS = (35_000, 300_000, 1_000_000), (64, 256), (200, 2000, 32_400)
ORDERS = ("unsorted", "sorted", "plan")  # plan: unsorted ids whose plan was made before
REDUCES = ("mean", "sum", "max", "min")
OURS, COPY = "pc_ssl", "copy"
MIN_ROUNDS, MAX_ROUNDS = 5, 41
BEHIND, HOPELESS = 3.0, 10.0  # times the best peer: not run again in this case, in larger ones of the kind
SLOW = 0.5  # seconds
ALLOCATORS = {  # environment of the process
    "default": {},
    "keeping": {
        "MALLOC_MMAP_MAX_": "0",  # glibc takes no threshold above 32 MB
        "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
        "MALLOC_TOP_PAD_": str(64 << 20),
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # transparent huge pages by madvise
    },
}
LARGE = 300_000  # points from which a call is about bandwidth


@dataclass(frozen=True)
class Case:
    points: int
    channels: int
    regions: int
    order: str
    reduce: str
    backward: bool
    threads: int

    @property
    def bytes_moved(self) -> int:
        """Features and ids in, pooled rows out; and back."""
        once = 4 * self.channels * (self.points + self.regions) + 8 * self.points
        return 2 * once if self.backward else once

    @property
    def kind(self) -> str:
        return f"{self.threads} {self.order} {self.reduce} {self.backward}"

    @property
    def group(self) -> str:
        direction = "forward + backward" if self.backward else "forward"
        kind = "mean, sum" if self.reduce in ("mean", "sum") else "max, min"
        return f"{self.threads} thread{'s' * (self.threads > 1)}, {self.order}, {direction}, {kind}"

    def __str__(self) -> str:
        direction = "fwd+bwd" if self.backward else "fwd"
        sizes = f"N={self.points:<7} C={self.channels:<3} R={self.regions:<5}"
        return f"{self.threads}T {self.order:8} {sizes} {self.reduce:4} {direction:7}"


@dataclass
class Result:
    case: Case
    least_ms: dict[str, float]
    median_ms: dict[str, float]
    rounds: int

    @property
    def best_peer(self) -> str:
        return min((name for name in self.least_ms if name not in (OURS, COPY)), key=self.least_ms.__getitem__)

    @property
    def ahead(self) -> float:
        """Time of the best peer over ours."""
        return self.least_ms[self.best_peer] / self.least_ms[OURS]

    @property
    def times_limit(self) -> float:
        return self.least_ms[OURS] / self.least_ms[COPY]

    def __str__(self) -> str:
        return (
            f"{self.case} ours {self.least_ms[OURS]:8.2f} ms  {self.ahead:5.2f}x ahead of {self.best_peer:22} "
            f"{self.times_limit:5.2f}x the limit"
        )

    def as_json(self) -> dict[str, object]:
        derived = {"best_peer": self.best_peer, "ahead": self.ahead, "times_limit": self.times_limit}
        return {**asdict(self.case), **derived, **{k: v for k, v in asdict(self).items() if k != "case"}}


def candidates(case: Case, region: Tensor) -> dict[str, Run]:
    """Everything that computes the case, ours first."""
    index = region.unsqueeze(1).expand(-1, case.channels)
    shape = (case.regions, case.channels)
    plan = RegionPlan.build(region, case.regions) if case.order == "plan" else None
    runs: dict[str, Run] = {OURS: lambda x: region_pool(x, region, case.regions, case.reduce, plan)}
    extremum = {"max": "amax", "min": "amin"}.get(case.reduce)

    runs["scatter_reduce"] = lambda x: x.new_zeros(shape).scatter_reduce(
        0, index, x, extremum or case.reduce, include_self=False
    )
    if extremum is None:
        runs["index_add"] = lambda x: _divided(x.new_zeros(shape).index_add(0, region, x), region, case)
        runs["scatter_add"] = lambda x: _divided(x.new_zeros(shape).scatter_add(0, index, x), region, case)
        matrix = _matrix(region, case).to_sparse_csr() if case.order != "unsorted" else None
        runs["sparse product"] = lambda x: (_matrix(region, case) if matrix is None else matrix) @ x
    if torch_scatter is not None:
        scatter = getattr(torch_scatter, f"scatter_{case.reduce}")
        runs["torch_scatter.scatter"] = lambda x: _values(scatter(x, region, dim=0, dim_size=case.regions))
    if case.order != "unsorted":
        runs.update(_of_segments(case, RegionPlan.build(region, case.regions)))
    return runs


def _of_segments(case: Case, plan: RegionPlan) -> dict[str, Run]:
    """Peers that pool runs of adjacent rows; with unsorted features they bring the rows into the plan's order first."""
    order = plan.order.long()
    adjacent: Run = (lambda x: x) if case.order == "sorted" else (lambda x: x.index_select(0, order))
    initial = None if case.reduce in ("max", "min") else 0
    runs: dict[str, Run] = {
        "segment_reduce": lambda x: torch.segment_reduce(
            adjacent(x), case.reduce, offsets=plan.offsets, axis=0, initial=initial
        )
    }
    if torch_scatter is not None:
        segment = getattr(torch_scatter, f"segment_{case.reduce}_csr")
        runs["torch_scatter.csr"] = lambda x: _values(segment(adjacent(x), plan.offsets))
    return runs


def _divided(total: Tensor, region: Tensor, case: Case) -> Tensor:
    if case.reduce != "mean":
        return total
    return total / torch.bincount(region, minlength=case.regions).clamp(min=1).unsqueeze(1)


def _matrix(region: Tensor, case: Case) -> Tensor:
    weight = torch.ones(case.points)
    if case.reduce == "mean":
        weight /= torch.bincount(region, minlength=case.regions)[region]
    position = torch.stack([region, torch.arange(case.points)])
    return torch.sparse_coo_tensor(position, weight, (case.regions, case.points), check_invariants=False)


def _values(result: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    return result[0] if isinstance(result, tuple) else result


def measure(
    case: Case, feature: Tensor, region: Tensor, grad: Tensor, seconds: float, hopeless: set[tuple[str, str]]
) -> Result:
    """Run all candidates in turn for `seconds`, but at least MIN_ROUNDS times.

    `hopeless` holds the peers that smaller cases have ruled out, as (kind, name), and takes those that this one does.
    """
    torch.set_num_threads(case.threads)
    runs = {name: run for name, run in candidates(case, region).items() if (case.kind, name) not in hopeless}
    source = torch.ones(case.bytes_moved // 2, dtype=torch.uint8)
    target = torch.empty_like(source)
    rng = random.Random(0)

    def once(name: str) -> float:
        if name == COPY:
            begin = time.perf_counter()
            target.copy_(source)
            return time.perf_counter() - begin
        x = feature.detach().requires_grad_(case.backward)
        begin = time.perf_counter()
        pooled = runs[name](x)
        if case.backward:
            pooled.backward(grad)
        return time.perf_counter() - begin

    def tried(name: str) -> float:
        """The least of five tries, or the only one where it is slow: a hiccup must not rule a peer out."""
        taken = once(name)
        return taken if taken > SLOW else min(taken, *(once(name) for _ in range(4)))

    first = {name: tried(name) for name in [*runs, COPY]}
    best = min(taken for name, taken in first.items() if name not in (OURS, COPY))
    peers = {name: taken for name, taken in first.items() if name not in (OURS, COPY)}
    behind = [name for name, taken in peers.items() if taken > BEHIND * best]
    hopeless.update((case.kind, name) for name, taken in peers.items() if taken > HOPELESS * best)
    running = [name for name in first if name not in behind]
    times: dict[str, list[float]] = {name: [] for name in running}
    begin = time.perf_counter()
    rounds = 0
    while rounds < MIN_ROUNDS or (rounds < MAX_ROUNDS and time.perf_counter() - begin < seconds):
        rng.shuffle(running)
        for name in running:
            times[name].append(once(name))
        rounds += 1
    for name in behind:
        times[name] = [first[name]]
    return Result(
        case,
        {name: 1e3 * min(taken) for name, taken in times.items()},
        {name: 1e3 * statistics.median(taken) for name, taken in times.items()},
        rounds,
    )


def results(options: argparse.Namespace) -> Iterator[Result]:
    generator = torch.Generator().manual_seed(0)
    hopeless: set[tuple[str, str]] = set()
    for points, channels in itertools.product(options.points, options.channels):
        feature = torch.randn(points, channels, generator=generator)
        for regions in options.regions:
            unsorted = torch.randint(0, regions, (points,), generator=generator)
            grad = torch.randn(regions, channels, generator=generator)
            for order, reduce, backward, threads in itertools.product(
                options.order, options.reduce, (False, True), options.threads
            ):
                region = unsorted.sort().values if order == "sorted" else unsorted
                case = Case(points, channels, regions, order, reduce, backward, threads)
                yield measure(case, feature, region, grad, options.seconds, hopeless)


def summary(done: Sequence[Result]) -> list[dict[str, object]]:
    """One row per group: geometric means and the worst case."""
    rows = []
    for group in sorted({result.case.group for result in done}):
        of_group = [result for result in done if result.case.group == group]
        large = [result.times_limit for result in of_group if result.case.points >= LARGE]
        rows.append(
            {
                "group": group,
                "cases": len(of_group),
                "ahead": statistics.geometric_mean(result.ahead for result in of_group),
                "least_ahead": min(result.ahead for result in of_group),
                "times_limit_large": statistics.geometric_mean(large) if large else None,
                "most_times_limit_large": max(large) if large else None,
            }
        )
    return rows


def speedups(done: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Of two threads over one, N >= 300k: ours and the copy's, per order and direction."""
    by_case = {result.case: result.least_ms for result in done}
    ratios: dict[str, dict[str, list[float]]] = {}
    for case, two in by_case.items():
        one = by_case.get(Case(**{**asdict(case), "threads": 1}))
        if case.threads != 2 or case.points < LARGE or one is None:
            continue
        group = ratios.setdefault(f"{case.order}, {'forward + backward' if case.backward else 'forward'}", {})
        for name in (OURS, COPY):
            group.setdefault(name, []).append(one[name] / two[name])
    return {
        group: {name: statistics.geometric_mean(values) for name, values in of_group.items()}
        for group, of_group in ratios.items()
    }


def plot(done: Sequence[Result], path: Path) -> None:
    """Every case as a point: how far ahead, and how many times the limit; a bar for each group's geometric mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = sorted({result.case.group for result in done})
    figure, panels = plt.subplots(1, 2, figsize=(15, 1.5 + 0.34 * len(groups)), sharey=True, layout="constrained")
    colors = {points: f"C{k}" for k, points in enumerate(sorted({result.case.points for result in done}))}
    for row, group in enumerate(groups):
        of_group = [result for result in done if result.case.group == group]
        for axes, values in zip(panels, ([r.ahead for r in of_group], [r.times_limit for r in of_group]), strict=True):
            axes.scatter(values, [row] * len(values), s=14, c=[colors[r.case.points] for r in of_group], alpha=0.7)
            axes.plot([statistics.geometric_mean(values)] * 2, [row - 0.35, row + 0.35], c="black", lw=2)
    for axes, title in zip(panels, ("time of the best peer / ours", "ours / the copy of the same bytes"), strict=True):
        axes.set_xscale("log")
        axes.axvline(1, c="grey", lw=1)
        axes.set_title(title)
        axes.grid(axis="x", which="both", alpha=0.3)
        axes.set_xticks([0.5, 1, 2, 3, 5, 10, 20], ["0.5", "1", "2", "3", "5", "10", "20"])
    panels[0].set_yticks(range(len(groups)), groups)
    panels[0].invert_yaxis()
    handles = [plt.Line2D([], [], ls="", marker="o", c=color, label=f"N = {n}") for n, color in colors.items()]
    panels[1].legend(handles=handles)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    plt.close(figure)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="written at the end; the plot is written next to it")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each case; large cases take five rounds")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--points", type=int, nargs="+", default=POINTS)
    parser.add_argument("--channels", type=int, nargs="+", default=CHANNELS)
    parser.add_argument("--regions", type=int, nargs="+", default=REGIONS)
    parser.add_argument("--order", nargs="+", choices=ORDERS, default=ORDERS)
    parser.add_argument("--reduce", nargs="+", choices=REDUCES, default=REDUCES)
    parser.add_argument("--allocator", choices=ALLOCATORS, default="default", help="settings for ours and the peers")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    settings = ALLOCATORS[options.allocator]
    if any(os.environ.get(name) != value for name, value in settings.items()):  # malloc reads them at the start alone
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})
    if torch_scatter is None:
        print("torch_scatter is not installed (pip install --no-build-isolation torch-scatter): one peer less")
    done: list[Result] = []
    try:
        for result in results(options):
            print(result, flush=True)
            done.append(result)
    except KeyboardInterrupt:
        print(f"stopped after {len(done)} cases; what follows is about these")
    if not done:
        return
    rows, twice = summary(done), speedups(done)
    print(f"\n{'group':58} cases  ahead  least  x limit (N >= 300k): mean, most")
    for row in rows:
        limits = [row["times_limit_large"], row["most_times_limit_large"]]
        tail = "".join(f"{limit:8.2f}" for limit in limits if limit is not None)
        print(f"{row['group']:58} {row['cases']:5} {row['ahead']:6.2f} {row['least_ahead']:6.2f} {tail}")
    for group, ratio in twice.items():
        print(f"2 threads over 1, N >= 300k, {group}: {ratio[OURS]:.2f}x, the copy {ratio[COPY]:.2f}x")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "allocator": settings,
        "torch_scatter": getattr(torch_scatter, "__version__", None),
    }
    cases = [result.as_json() for result in done]
    write_json(options.json, {"machine": machine, "summary": rows, "two_threads_over_one": twice, "cases": cases})
    plot(done, options.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
