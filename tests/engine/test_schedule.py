import math
from pathlib import Path

import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.engine.schedule import Cosine, Cyclic, OneCycle
from pc_ssl.errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 257])
def test_one_cycle_is_torchs(steps: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=max(steps, 2), pct_start=0.4, div_factor=10, final_div_factor=1e4
    )
    for step in range(steps):
        found, expected = OneCycle().factors(step, steps), optimizer.param_groups[0]
        if steps > 1:  # torch refuses to have one step only
            assert found.learning_rate == pytest.approx(expected["lr"], abs=1e-12)
            assert found.beta == pytest.approx(expected["betas"][0], abs=1e-12)
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    assert 0 < OneCycle().factors(0, 1).learning_rate <= 1


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.01)
    for step in range(30):
        found, expected = Cosine(floor=0.01).factors(step, 30), optimizer.param_groups[0]
        assert found.learning_rate == pytest.approx(expected["lr"], abs=1e-9)
        assert found.beta == expected["betas"][0]
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("step", "learning_rate", "beta"),
    [
        (0, 1e-4, 0.9),  # mmcv's lr
        (20, 5.5e-4, 0.8526316),  # half way up: the mean of 1e-4 and 1e-3
        (40, 1e-3, 0.8052632),  # 40 % of 100 steps: the peak
        (70, 5.00005e-4, 0.8526316),  # half way down: the mean of 1e-3 and 1e-8
        # the last of 60 steps down: 1e-8 + (1e-3 - 1e-8) (1 + cos(59 pi / 60)) / 2
        (99, 6.952258e-7, 0.8999351),
    ],
)
def test_bevfusions_cycle_starts_at_a_tenth_of_its_peak(step: int, learning_rate: float, beta: float) -> None:
    """AdamW's lr = 1e-4 and betas (0.9, 0.999) with mmcv's defaults: target_ratio (10, 1e-4), of the momentum
    (0.85 / 0.95, 1), and step_ratio_up 0.4. The values are those of mmcv 1.7's CyclicLrUpdaterHook and
    CyclicMomentumUpdaterHook run on such an optimiser.
    """
    found = Cyclic().factors(step, 100)
    assert 1e-3 * found.learning_rate == pytest.approx(learning_rate, rel=1e-6)
    assert found.beta == pytest.approx(beta, abs=1e-7)


def test_a_cycle_that_does_not_divide_peaks_at_the_step_below() -> None:
    factors = [Cyclic().factors(step, 7).learning_rate for step in range(7)]  # int(0.4 * 7) = 2
    assert factors.index(1.0) == 2
    assert factors[1] == pytest.approx(0.55)
    assert Cyclic().factors(0, 1).learning_rate == 1.0  # a run of one step has no way up


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (1750, 1e-3), (3499, 2e-3 * 3499 / 3500), (3500, 2e-3), (45703, 1.005e-3)],
)
def test_scalr_warms_up_and_keeps_a_floor(step: int, expected: float) -> None:
    """Peak 2e-3, 3,500 steps up, half way through the other 84,406 the mean of 2e-3 and 1e-5."""
    found = Cosine(warmup_steps=3500, floor=0.005).factors(step, 87906)
    assert 2e-3 * found.learning_rate == pytest.approx(expected, rel=1e-9)
    assert found.beta == 0.9


def test_a_warm_up_by_share_counts_whole_steps() -> None:
    schedule = Cosine(warmup_share=0.05, floor=0.01)
    assert [schedule.factors(step, 119).learning_rate for step in (0, 1, 5)] == [0.0, 1 / 5, 1.0]  # int(5.95) = 5
    assert schedule.factors(118, 119).learning_rate == pytest.approx(
        0.01 + 0.99 * (1 + math.cos(113 / 114 * math.pi)) / 2
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Cosine(warmup_steps=3, warmup_share=0.1), "both warmup_steps and warmup_share"),
        (lambda: Cosine(floor=2.0), "floor 2"),
        (lambda: Cyclic(peak_ratio=0.5), r"peak_ratio is 0\.5"),
        (lambda: OneCycle(rise=1.0), "rise is 1, expected a share"),
    ],
)
def test_constants_out_of_range_are_refused(build: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("config", "first", "peak"),
    [
        ("downstream/det_nuscenes_second_l.py", 1e-4, 1e-3),
        ("downstream/map_nuscenes_lc.py", 1e-4, 1e-3),
        ("downstream/det_nuscenes_c.py", 2e-4, 1e-3),
        ("pretrain/prc_nuscenes_second.py", 1e-4, 1e-3),
        ("pretrain/scalr_nuscenes_unet.py", 0.0, 2e-3),
        ("pretrain/bev_contrast_nuscenes_unet.py", 0.0, 1e-3),
    ],
)
def test_configs_have_the_published_first_and_highest_learning_rate(config: str, first: float, peak: float) -> None:
    options = load_config(CONFIGS / config).build("train")
    rates = [
        options.learning_rate * options.learning_rate_schedule.factors(step, options.steps).learning_rate
        for step in range(options.steps)
    ]
    assert rates[0] == pytest.approx(first)
    assert max(rates) == pytest.approx(peak)
