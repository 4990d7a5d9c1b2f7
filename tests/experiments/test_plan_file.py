from pathlib import Path

import pytest

from pc_ssl.config import load_config
from pc_ssl.errors import UserError
from pc_ssl.experiments import load_plan
from pc_ssl.experiments.runs import Commands, PretrainingRun
from pc_ssl.recipes import config_folder

PLANS = sorted((config_folder() / "plans").glob("*.py"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_of_the_package_load_by_name_and_their_overrides_fit_their_configs(path: Path, tmp_path: Path) -> None:
    plan = load_plan(path.stem)
    commands = Commands(plan, tmp_path, tmp_path, "cpu")
    for pretraining in plan.pretrainings:
        config = commands.config(PretrainingRun(pretraining, 0))
        plain = load_config(Path(pretraining.config)).flat()
        changed = {key for key, value in config.flat().items() if plain.get(key, "absent") != value}
        expected = {text.partition("=")[0] for text in (*pretraining.overrides, *plan.budget_overrides)}
        assert expected <= changed | {"train.steps", "train.batch_size"}
        assert changed <= expected | {"train.seed"}


def test_the_parts_of_methods_are_single_values() -> None:
    plan = load_plan("parts")
    assert len(plan.methods) == 13
    overrides = {pretraining.name: pretraining.overrides for pretraining in plan.pretrainings}
    assert overrides["prc_random_boxes"] == ("region=random_boxes",)
    assert {len(of) for of in overrides.values()} == {0, 1}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plan = 3", "`plan` is 3"),
        ("other = 3", "`plan` is None"),
        ("plan = (", "line 1"),
        ("plan = 1 / 0", "ZeroDivisionError"),
        ("from pc_ssl.experiments import Plan\nplan = Plan((), ())", "methods is empty"),
    ],
)
def test_a_damaged_plan_file_is_one_line_that_names_it(tmp_path: Path, text: str, shown: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_plan(path)
    assert str(path) in str(error.value)
    assert shown in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_plan_lists_those_of_the_package(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'nothing'.*parts"):
        load_plan("nothing")
    with pytest.raises(UserError, match=r"absent\.py: no such file"):
        load_plan(tmp_path / "absent.py")
