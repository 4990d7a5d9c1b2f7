"""Points to regions and back: the op behind every pooling of the project.

The kernels are in csrc/ (region_pool.h is their contract), `reference.py` is the same in plain torch. Here are the
public functions, and the registrations of the compiled ops with torch: fake kernels, derivatives, autocast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pc_ssl.ops.extension import compiled as _ops

Reduce = Literal["mean", "sum", "max", "min"]


@dataclass(frozen=True)
class RegionPlan:
    """The points of each region; made once for a batch, used for all its poolings in both directions.

    Checked once when it is made, by `build` or by hand (tensors on the meta device have shapes alone to check):
        - order is int32, offsets int64; both are contiguous vectors on one device, and offsets is not empty;
        - offsets begin with 0, do not decrease and end with at most N;
        - order holds each of 0 .. N - 1 once.
    Checked again by every pooling that uses it, since a tensor can be written to afterwards:
        - its sizes, dtypes and device are those of `region` and `num_regions`; a gather checks these alone, for it
          reads the ids themselves;
        - offsets as above, and every entry of order is one of 0 .. N - 1, so that nothing outside the tensors is read;
        - on the CPU, the first and last point of every region have its id, so a plan of another cloud is an error.
          On a GPU the two checks before this one stop the kernel with a device assertion, and a plan of another cloud
          of the same sizes gives that cloud's regions.

    Args:
        order: [N] int32: the points sorted by region, ascending within a region; points of no region come last.
        offsets: [R + 1] int64: region r holds the points order[offsets[r]:offsets[r + 1]].

    Raises:
        ValueError: one of the checks fails; the message names the entry and its value.
    """

    order: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        _check_plan_shapes(self.order, self.offsets)
        if not (self.order.is_meta or torch.compiler.is_compiling()):  # compiled code checks it when it is used
            _check_plan_values(self.order, self.offsets)

    @classmethod
    def build(cls, region: Tensor, num_regions: int) -> RegionPlan:
        """Sort the points by region.

        Args:
            region: [N] int32 or int64, any stride; -1 belongs to no region.
            num_regions: R.

        Raises:
            ValueError: an id is neither -1 nor one of 0 .. R - 1 (the message names the first position, its value and
                the range), num_regions is negative, or region is not a vector of int32 or int64. On a GPU this check
                waits for the device.
        """
        plan = object.__new__(cls)  # not __init__: what the op returns has been checked
        for name, tensor in zip(("order", "offsets"), _ops.region_plan(region, num_regions), strict=True):
            object.__setattr__(plan, name, tensor)
        return plan

    @property
    def counts(self) -> Tensor:
        """[R] int64: the number of points of each region; the only test of emptiness."""
        return self.offsets.diff()


def region_pool(
    feature: Tensor, region: Tensor, num_regions: int, reduce: Reduce = "mean", plan: RegionPlan | None = None
) -> Tensor:
    """Mean, sum, maximum or minimum of the points of each region.

    Under autocast the features are cast to float32, as torch does for its own sums. Half types are added in float32.
    The result is the same to the last bit for any number of threads and, on the CPU, with or without a plan.

    Args:
        feature: [N, C] float32, float64, bfloat16 or float16, any strides.
        region: [N] int32 or int64 on the same device, any stride; points with the id -1 are left out.
        num_regions: R.
        reduce: "mean", "sum", "max" or "min". Ties of max and min go to the lowest point, and the gradient with them;
            a NaN wins.
        plan: of the same `region`; without it a GPU call builds one, which waits for the device.

    Returns:
        [R, C] of the dtype of `feature`. An empty region gives 0: only `RegionPlan.counts` distinguishes it.

    Raises:
        ValueError: an id is neither -1 nor one of 0 .. R - 1 (the message names the first position, its value and the
            range), the plan does not fit (see `RegionPlan`), or the shapes, dtypes or devices do not fit.
    """
    order, offsets = _plan_tensors(feature, region, num_regions, plan)
    if reduce in ("mean", "sum"):
        return _ops.region_sum(feature, region, num_regions, reduce == "mean", order, offsets)[0]
    if reduce in ("max", "min"):
        with_point = feature.requires_grad and torch.is_grad_enabled()
        return _ops.region_extremum(feature, region, num_regions, reduce == "max", with_point, order, offsets)[0]
    raise ValueError(f'reduce must be "mean", "sum", "max" or "min", got {reduce!r}')


def region_gather(region_feature: Tensor, region: Tensor, plan: RegionPlan | None = None) -> Tensor:
    """The feature of each point's region: the adjoint of `region_pool(reduce="sum")`.

    Args:
        region_feature: [R, C] float32, float64, bfloat16 or float16, any strides.
        region: [N] int32 or int64 on the same device, any stride.
        plan: of the same `region`; speeds up the derivative, and a GPU call without it builds one.

    Returns:
        [N, C] of the dtype of `region_feature`; 0 where the id is -1.

    Raises:
        ValueError: as `region_pool`.
    """
    order, offsets = _plan_tensors(region_feature, region, len(region_feature), plan)
    return _ops.region_gather(region_feature, region, None, order, offsets)


def region_softmax(score: Tensor, region: Tensor, num_regions: int, plan: RegionPlan | None = None) -> Tensor:
    """Softmax over the points of each region, one channel at a time.

    Args:
        score: [N, C] float32, float64, bfloat16 or float16; half types compute in float32.
        region: [N] int32 or int64 on the same device; points with the id -1 get 0.
        num_regions: R.
        plan: of the same `region`.

    Returns:
        [N, C] of the dtype of `score`; the rows of each region add up to 1.

    Raises:
        ValueError: as `region_pool`.
    """
    wide = score if score.dtype == torch.float64 else score.float()
    largest = region_gather(region_pool(wide.detach(), region, num_regions, "max", plan), region, plan)
    outside = (region < 0).unsqueeze(1)
    weight = (wide - largest).masked_fill(outside, -torch.inf).exp()
    total = region_gather(region_pool(weight, region, num_regions, "sum", plan), region, plan)
    return (weight / total.masked_fill(outside, 1)).to(score.dtype)


def _plan_tensors(
    rows: Tensor, region: Tensor, num_regions: int, plan: RegionPlan | None
) -> tuple[Tensor | None, Tensor | None]:
    """order and offsets; None on the CPU without a plan, where the kernels read the ids as they are."""
    if rows.device != region.device and not rows.is_meta:
        raise ValueError(f"the features are on {rows.device} but region on {region.device}")
    if plan is None and region.is_cuda:
        plan = RegionPlan.build(region, num_regions)
    return (None, None) if plan is None else (plan.order, plan.offsets)


def _check_plan_shapes(order: Tensor, offsets: Tensor) -> None:
    for name, tensor, dtype in (("order", order, torch.int32), ("offsets", offsets, torch.int64)):
        if tensor.dtype != dtype or tensor.ndim != 1 or not tensor.is_contiguous():
            raise ValueError(
                f"the plan's {name} must be a contiguous vector of {dtype}, got {tensor.dtype} {list(tensor.shape)} of "
                f"strides {tensor.stride()}"
            )
    if order.device != offsets.device:
        raise ValueError(f"the plan's order is on {order.device} but its offsets on {offsets.device}")
    if len(offsets) == 0:
        raise ValueError("the plan's offsets must be [R + 1], got [0]")


def _check_plan_values(order: Tensor, offsets: Tensor) -> None:
    points = len(order)
    least = torch.cat([offsets.new_zeros(1), offsets[:-1]])
    most = torch.where(torch.arange(len(offsets), device=offsets.device) == 0, 0, points)
    for name, value, low, high in (("offsets", offsets, least, most), ("order", order, 0, points - 1)):
        outside = (value < low) | (value > high)
        if outside.any():
            k = int(outside.int().argmax())
            low, high = (int(bound[k]) if isinstance(bound, Tensor) else bound for bound in (low, high))
            raise ValueError(f"the plan's {name}[{k}] is {int(value[k])}, expected {low} to {high}")
    times = torch.bincount(order, minlength=points)
    if (times != 1).any():
        point = int((times != 1).int().argmax())
        raise ValueError(f"the plan's order holds point {point} {int(times[point])} times, expected once")


def _check_fake(feature: Tensor, region: Tensor, num_regions: int | None = None) -> None:
    """Checks of a call without its values: those of csrc/checks.h that come first."""
    if feature.ndim != 2 or region.ndim != 1:
        raise ValueError(
            f"expected rows of two dimensions and region of one, got {list(feature.shape)} and {list(region.shape)}"
        )
    if region.dtype not in (torch.int32, torch.int64) or not feature.is_floating_point():
        raise ValueError(f"expected floating rows and an int32 or int64 region, got {feature.dtype} and {region.dtype}")
    if num_regions is not None and feature.shape[0] != region.shape[0]:
        raise ValueError(f"feature has {feature.shape[0]} rows but region {region.shape[0]} ids")


@torch.library.register_fake("pc_ssl::region_plan")
def _region_plan_fake(region: Tensor, num_regions: int) -> tuple[Tensor, Tensor]:
    order = region.new_empty(region.shape, dtype=torch.int32)
    return order, region.new_empty(num_regions + 1, dtype=torch.int64)


@torch.library.register_fake("pc_ssl::region_sum")
def _region_sum_fake(
    feature: Tensor, region: Tensor, num_regions: int, mean: bool, order: Tensor | None, offsets: Tensor | None
) -> tuple[Tensor, Tensor]:
    _check_fake(feature, region, num_regions)
    return feature.new_empty(num_regions, feature.shape[1]), region.new_empty(num_regions, dtype=torch.int64)


@torch.library.register_fake("pc_ssl::region_extremum")
def _region_extremum_fake(
    feature: Tensor,
    region: Tensor,
    num_regions: int,
    largest: bool,
    with_point: bool,
    order: Tensor | None,
    offsets: Tensor | None,
) -> tuple[Tensor, Tensor]:
    _check_fake(feature, region, num_regions)
    pooled = feature.new_empty(num_regions, feature.shape[1])
    return pooled, region.new_empty(num_regions if with_point else 0, feature.shape[1], dtype=torch.int32)


@torch.library.register_fake("pc_ssl::region_extremum_grad")
def _region_extremum_grad_fake(grad: Tensor, point: Tensor, region: Tensor) -> Tensor:
    _check_fake(grad, region)
    return grad.new_empty(region.shape[0], grad.shape[1])


@torch.library.register_fake("pc_ssl::region_gather")
def _region_gather_fake(
    region_feature: Tensor, region: Tensor, counts: Tensor | None, order: Tensor | None, offsets: Tensor | None
) -> Tensor:
    _check_fake(region_feature, region)
    return region_feature.new_empty(region.shape[0], region_feature.shape[1])


def _save_for_sum(ctx: Any, inputs: tuple, output: tuple) -> None:
    _, region, _, ctx.mean, order, offsets = inputs
    ctx.save_for_backward(region, output[1], order, offsets)


def _region_sum_backward(ctx: Any, grad: Tensor, _: None) -> tuple:
    region, counts, order, offsets = ctx.saved_tensors
    per_point = _ops.region_gather(grad, region, counts if ctx.mean else None, order, offsets)
    return per_point, None, None, None, None, None


def _save_for_gather(ctx: Any, inputs: tuple, output: Tensor) -> None:
    region_feature, region, counts, order, offsets = inputs
    ctx.num_regions = region_feature.shape[0]
    ctx.mean = counts is not None
    ctx.save_for_backward(region, order, offsets)


def _region_gather_backward(ctx: Any, grad: Tensor) -> tuple:
    region, order, offsets = ctx.saved_tensors
    return _ops.region_sum(grad, region, ctx.num_regions, ctx.mean, order, offsets)[0], None, None, None, None


def _save_for_extremum(ctx: Any, inputs: tuple, output: tuple) -> None:
    ctx.save_for_backward(output[1], inputs[1])


def _region_extremum_backward(ctx: Any, grad: Tensor, _: None) -> tuple:
    point, region = ctx.saved_tensors
    return _ops.region_extremum_grad(grad, point, region), None, None, None, None, None, None


def _save_for_extremum_grad(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _region_extremum_grad_backward(ctx: Any, grad: Tensor) -> tuple:
    """Linear in the gradient of the regions: each takes that of the point that it went to."""
    (point,) = ctx.saved_tensors
    if len(grad) == 0:
        return grad.new_zeros(point.shape), None, None
    picked = grad.gather(0, point.clamp(min=0).long())
    return picked.masked_fill(point < 0, 0), None, None


torch.library.register_autograd("pc_ssl::region_sum", _region_sum_backward, setup_context=_save_for_sum)
torch.library.register_autograd("pc_ssl::region_gather", _region_gather_backward, setup_context=_save_for_gather)
torch.library.register_autograd("pc_ssl::region_extremum", _region_extremum_backward, setup_context=_save_for_extremum)
torch.library.register_autograd(
    "pc_ssl::region_extremum_grad", _region_extremum_grad_backward, setup_context=_save_for_extremum_grad
)

for _device in ("cpu", "cuda"):  # a gather only copies, so it keeps its dtype
    torch.library.register_autocast("pc_ssl::region_sum", _device, torch.float32)
    torch.library.register_autocast("pc_ssl::region_extremum", _device, torch.float32)
