import json
from dataclasses import replace
from pathlib import Path

import pytest

from pc_ssl.data.cache import Cache
from pc_ssl.engine.compare import Plan, compare, describe
from pc_ssl.engine.jobs import Job
from pc_ssl.errors import UserError

NETWORK = (
    "dict(type=SparseUNet, voxel_size=(0.5, 0.5, 0.5), stem_channels=4, encoder_channels=(4,), encoder_blocks=(1,),"
    " decoder_channels=(4,), decoder_blocks=(1,))"
)
IMPORTS = (
    "from pc_ssl.engine.options import TrainOptions\nfrom pc_ssl.heads.segmentation import SegmentationTask\n"
    "from pc_ssl.methods.prc import PRC\nfrom pc_ssl.models.lidar import SparseUNet\n"
    "from pc_ssl.views.lidar import Augmentation, PairViews, SingleView\n"
)
TRAIN = "train = dict(type=TrainOptions, steps=2, batch_size=1, learning_rate=1e-3, num_workers=0, log_every=1)\n"


def write_method(path: Path, alpha: float, network: str = NETWORK) -> Path:
    views = "dict(type=PairViews, augmentation=dict(type=Augmentation), inside=16, outside=16)"
    method = f"method = dict(type=PRC, alpha={alpha}, backbone={network}, views={views})\n"
    path.write_text(f'{IMPORTS}{method}region = "dbscan"\n{TRAIN}')
    return path


@pytest.fixture
def plan(tmp_path: Path, street_cache: Cache) -> Plan:
    """Two methods, two seeds, one fraction."""
    view = "dict(type=SingleView, augmentation=dict(type=Augmentation))"
    task = tmp_path / "segmentation.py"
    task.write_text(f"{IMPORTS}task = dict(type=SegmentationTask, backbone={NETWORK}, view={view})\n{TRAIN}")
    methods = (write_method(tmp_path / "region.py", 0.9), write_method(tmp_path / "point.py", 0.1))
    return Plan(methods, task, street_cache.path, tmp_path / "work", seeds=2, labels=(0.5,), jobs=1, device="cpu")


def run_here(job: Job, threads: int) -> None:
    from pc_ssl.cli import app

    assert not app([str(argument) for argument in job.arguments], standalone_mode=False)


def test_methods_are_set_beside_scratch(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "run", run_here)
    comparison = compare(plan)
    assert [row.name for row in comparison.rows] == ["scratch", "region", "point"]
    assert comparison.columns == ("linear probe", "50 %")
    written = json.loads((plan.work_dir / "compare.json").read_text())
    for row in comparison.rows:
        for column, folder in (("linear probe", "probe"), ("50 %", "finetune-0.5")):
            for seed in range(2):
                run = json.loads((plan.work_dir / row.name / f"seed-{seed}" / folder / "result.json").read_text())
                assert written["methods"][row.name][column]["runs"][seed] == run["result"]["miou"]
                weights = plan.work_dir / row.name / f"seed-{seed}" / "pretrain" / "weights.safetensors"
                assert run["paths"]["init"] == (None if row.name == "scratch" else str(weights))
                assert run["settings"]["seed"] == seed
    assert "| point |" in (plan.work_dir / "compare.md").read_text()
    assert (plan.work_dir / "compare.csv").read_text().count("\n") == 1 + 3 * 2 * 2


def test_nothing_is_run_before_the_budget_is_checked(plan: Plan, tmp_path: Path) -> None:
    other = write_method(tmp_path / "other.py", 0.5, NETWORK.replace("stem_channels=4", "stem_channels=8"))
    with pytest.raises(UserError, match=r"other\.py: method\.backbone is .*a comparison needs one backbone"):
        compare(replace(plan, methods=(*plan.methods, other)))
    assert not plan.work_dir.exists()


def test_other_steps_are_refused_unless_one_number_is_given(plan: Plan, tmp_path: Path) -> None:
    other = write_method(tmp_path / "other.py", 0.5)
    other.write_text(other.read_text().replace("steps=2", "steps=3"))
    plan = replace(plan, methods=(*plan.methods, other))
    with pytest.raises(UserError, match=r"other\.py: train\.steps is 3, elsewhere 2; give one for all with --steps"):
        describe(plan)
    assert "steps 5, batch_size 1" in describe(replace(plan, steps=5))


def test_a_fraction_of_less_than_a_batch_is_refused_before_anything_runs(plan: Plan) -> None:
    plan.task.write_text(plan.task.read_text().replace("batch_size=1", "batch_size=50"))
    for run in (describe, compare):
        with pytest.raises(
            UserError, match=r"--labels 0\.5: \d+ of the \d+ frames of .* fewer than .*batch_size 50 in"
        ):
            run(plan)
    assert not plan.work_dir.exists()


def test_a_dry_run_counts_the_runs(plan: Plan) -> None:
    text = describe(plan)
    assert "runs             16, 1 at once" in text  # 2 seeds of 2 pretrainings, 3 probes, 3 fine-tunings
    assert not plan.work_dir.exists()


def test_a_task_is_no_method(plan: Plan) -> None:
    with pytest.raises(UserError, match=r"segmentation\.py: holds a downstream task, expected a `method`"):
        describe(replace(plan, methods=(plan.task,)))
    with pytest.raises(UserError, match=r"region\.py: holds a pretraining method, expected a `task`"):
        describe(replace(plan, task=plan.methods[0]))


def test_two_configs_of_one_name_are_refused(plan: Plan) -> None:
    with pytest.raises(UserError, match="names of their own"):
        replace(plan, methods=(*plan.methods, plan.methods[0]))
