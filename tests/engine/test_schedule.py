import pytest
import torch

from pc_ssl.engine.schedule import schedule_factors


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 257])
def test_one_cycle_is_torchs(steps: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=max(steps, 2), pct_start=0.4, div_factor=10, final_div_factor=1e4
    )
    for step in range(steps):
        found, expected = schedule_factors("one_cycle", step, steps), optimizer.param_groups[0]
        if steps > 1:  # torch refuses to have one step only
            assert found.learning_rate == pytest.approx(expected["lr"], abs=1e-12)
            assert found.beta == pytest.approx(expected["betas"][0], abs=1e-12)
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    assert 0 < schedule_factors("one_cycle", 0, 1).learning_rate <= 1


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    for step in range(30):
        assert schedule_factors("cosine", step, 30).learning_rate == pytest.approx(
            optimizer.param_groups[0]["lr"], abs=1e-9
        )
        assert schedule_factors("cosine", step, 30).beta == optimizer.param_groups[0]["betas"][0]
        optimizer.step()
        scheduler.step()
