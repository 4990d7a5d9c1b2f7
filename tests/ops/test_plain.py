"""The plain-torch ops that serve without the compiled extension, against the compiled ones; and the one warning."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pc_ssl.ops import plain

OPS = torch.ops.pc_ssl


@st.composite
def clouds(draw):
    points, num_regions, channels = draw(st.integers(0, 60)), draw(st.integers(1, 9)), draw(st.integers(0, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
    feature = (torch.randint(-8, 8, (points, channels), generator=generator) / 4).to(dtype)
    if draw(st.booleans()):
        feature[torch.rand(feature.shape, generator=generator) < 0.1] = torch.nan
    region = torch.randint(-1, num_regions, (points,), generator=generator)
    return feature, region.to(draw(st.sampled_from([torch.int32, torch.int64]))), num_regions


def assert_same(got, expected):
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True)


@settings(deadline=None, max_examples=80)
@given(cloud=clouds(), flag=st.booleans())
def test_pooling_gathering_and_plans_equal_the_compiled_ops(cloud, flag):
    feature, region, num_regions = cloud
    assert_same(plain.region_plan(region, num_regions), OPS.region_plan(region, num_regions))
    arguments = feature, region, num_regions, flag
    assert_same(plain.region_sum(*arguments, None, None), OPS.region_sum(*arguments, None, None))
    extremum = OPS.region_extremum(*arguments, True, None, None)
    assert_same(plain.region_extremum(*arguments, True, None, None), extremum)
    counts = OPS.region_plan(region, num_regions)[1].diff() if flag else None
    table = extremum[0].nan_to_num(3)
    tables = table, region, counts, None, None
    torch.testing.assert_close(plain.region_gather(*tables), OPS.region_gather(*tables))
    grad = table, extremum[1], region
    torch.testing.assert_close(plain.region_extremum_grad(*grad), OPS.region_extremum_grad(*grad))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), in_3d=st.booleans(), grouped=st.booleans(), most=st.sampled_from([None, 0, 3]))
def test_overlaps_and_suppression_equal_the_compiled_ops(seed, in_3d, grouped, most):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(25, 7, generator=generator, dtype=torch.float64) * torch.tensor([6, 6, 2, 4, 2, 2, 6.0])
    boxes[3, 5 if in_3d else 4], boxes[4, 0] = -1, torch.nan
    group = torch.randint(0, 3, (25,), generator=generator) if grouped else None
    torch.testing.assert_close(plain.rotated_iou(boxes, boxes, in_3d), OPS.rotated_iou(boxes, boxes, in_3d))
    kept = OPS.rotated_nms(boxes, group, 0.2, most)
    assert plain.rotated_nms(boxes, group, 0.2, most).tolist() == kept.tolist()
    circles = boxes[:, :2], torch.rand(25, generator=generator, dtype=torch.float64), group, most
    assert plain.circle_nms(*circles).tolist() == OPS.circle_nms(*circles).tolist()


@pytest.mark.parametrize("bad", [3, 2**40, -2])
def test_an_id_out_of_range_is_named_as_by_the_compiled_ops(bad):
    region = torch.tensor([0, 1, bad, 0])
    with pytest.raises(ValueError) as compiled:
        OPS.region_plan(region, 3)
    with pytest.raises(ValueError) as own:
        plain.region_plan(region, 3)
    assert str(own.value) == str(compiled.value).splitlines()[0]


def test_schemas_are_those_of_the_compiled_ops():
    for schema in plain.SCHEMAS:
        name = schema[: schema.index("(")]
        assert str(getattr(OPS, name).default._schema) == str(torch._C.parse_schema(f"pc_ssl::{schema}"))


WITHOUT_EXTENSION = """
import sys, warnings
sys.modules["pc_ssl._C"] = None
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import torch
    from pc_ssl.ops import RegionPlan, region_pool, region_softmax, rotated_nms
    import pc_ssl.ops.rotated_boxes
    feature = torch.arange(8.0).reshape(4, 2).requires_grad_()
    region = torch.tensor([1, 0, -1, 1])
    for plan in (None, RegionPlan.build(region, 2)):
        pooled = region_pool(feature, region, 2, "mean", plan)
        assert pooled.tolist() == [[2, 3], [3, 4]], pooled
        region_pool(feature, region, 2, "max", plan).sum().backward()
    assert feature.grad.tolist() == [[0, 0], [2, 2], [0, 0], [2, 2]], feature.grad
    assert region_softmax(feature, region, 2).sum().item() == 4
    assert region_pool(feature.to("meta"), region.to("meta"), 2).shape == (2, 2)
    assert rotated_nms(torch.ones(2, 7), torch.tensor([0.1, 0.9]), 0.5).tolist() == [1]
said = [str(w.message) for w in seen if "pc_ssl._C" in str(w.message)]
assert len(said) == 1 and "in plain torch" in said[0] and "several times as long" in said[0], said
"""


def test_without_the_extension_plain_torch_serves_with_one_warning():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTENSION], env=dict(os.environ), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
