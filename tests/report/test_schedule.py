import pytest

from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.schedule import Cyclic
from pc_ssl.report.schedule import POINTS, schedule_figure, schedule_points


def test_the_curve_begins_at_the_first_step_and_meets_the_peak() -> None:
    """mmcv's cycle: a tenth of the peak at first, the peak after 40 % of the run."""
    options = TrainOptions(steps=1001, batch_size=4, learning_rate=1e-3, schedule=Cyclic())
    steps, rates, betas = schedule_points(options)
    assert (steps[0], steps[-1], len(steps)) == (0, 1000, POINTS + 1)
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3, rel=1e-3)
    assert steps[rates.index(max(rates))] == pytest.approx(400, abs=2)
    assert (betas[0], min(betas)) == (pytest.approx(0.9), pytest.approx(0.8052632, abs=1e-4))


def test_a_run_of_one_step_is_drawn() -> None:
    options = TrainOptions(steps=1, batch_size=1, learning_rate=1e-3, learning_rate_multipliers={"head": 10.0})
    figure = schedule_figure(options, "mine")
    assert "mine" in figure.axes[0].get_title()
    assert "head: x 10" in figure.axes[1].get_xlabel()
