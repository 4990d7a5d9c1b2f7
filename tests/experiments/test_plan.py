from pathlib import Path

import pytest

from pc_ssl.engine.initial import WHOLE
from pc_ssl.errors import UserError
from pc_ssl.experiments import Evaluation, Kind, Method, Permuted, Plan, Pretraining, Selection, Setting, Variant
from pc_ssl.experiments.plan import parse_config, parse_method

PRC = Pretraining("prc", "prc.py")
RAD = Pretraining("rad", "rad.py", init={"teacher": PRC})
TASK = Evaluation("finetune", "task.py", fractions=(0.05,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("configs/demo/prc.py", ("prc", Path("configs/demo/prc.py"), ())),
        ("demo/prc", ("prc", Path("demo/prc"), ())),
        ("base=demo/prc", ("base", Path("demo/prc"), ())),
        ("a=x.py,method.alpha=0.5", ("a", Path("x.py"), ("method.alpha=0.5",))),
        ("x.py,method.alpha=0.5", ("x", Path("x.py"), ("method.alpha=0.5",))),
        ("a=x.py,m.size=(0.1, 0.2),region=voxels", ("a", Path("x.py"), ("m.size=(0.1, 0.2)", "region=voxels"))),
        ("a=x.py,m.names=['b','c'],m.k=1", ("a", Path("x.py"), ("m.names=['b','c']", "m.k=1"))),
    ],
)
def test_methods_and_tasks_are_given_as_name_config_and_overrides(text: str, expected: tuple) -> None:
    assert parse_config(text) == expected


def test_an_existing_file_with_an_equals_sign_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("alpha=1.py").touch()
    assert parse_config("alpha=1.py,method.alpha=1")[:2] == ("alpha=1", Path("alpha=1.py"))


def test_a_method_given_as_text_fills_the_whole_backbone() -> None:
    method = parse_method("b=x.py,method.alpha=0.5")
    assert method == Method("b", {WHOLE: Pretraining("b", Path("x.py"), ("method.alpha=0.5",))})


def test_each_pretraining_of_a_chain_comes_once_and_after_what_it_starts_from() -> None:
    calico = Method("calico", {"camera": RAD, "lidar": PRC})
    plan = Plan((Method("scratch"), calico, Method("prc", {"lidar": PRC})), (TASK,))
    assert plan.pretrainings == (PRC, RAD)
    assert plan.generations == ((PRC,), (RAD,))
    third = Pretraining("third", "x.py", init={"a": RAD, "b": Path("elsewhere.safetensors")})
    other = Pretraining("other", "x.py")
    plan = Plan((Method("a", {WHOLE: third}), Method("b", {WHOLE: other})), (TASK,))
    assert plan.generations == ((PRC, other), (RAD,), (third,))


def test_two_pretrainings_of_one_name_are_refused() -> None:
    other = Pretraining("prc", "prc.py", ("method.alpha=0.5",))
    with pytest.raises(UserError, match=r"pretrainings: 'prc' appears twice"):
        Plan((Method("a", {WHOLE: PRC}), Method("b", {WHOLE: other})), (TASK,))


@pytest.mark.parametrize(
    ("methods", "evaluations", "seeds", "shown"),
    [
        ((), (TASK,), (0,), "methods"),
        ((Method("a"),), (), (0,), "evaluations"),
        ((Method("a"),), (TASK,), (), "seeds"),
        ((Method("a"), Method("a")), (TASK,), (0,), "'a'"),
        ((Method("a/b"),), (TASK,), (0,), "'a/b'"),
        ((Method(".."),), (TASK,), (0,), r"'\.\.'"),
        ((Method("a"),), (TASK, TASK), (0,), "'finetune'"),
        ((Method("a"),), (Evaluation("pretrain", "x"),), (0,), "'pretrain'"),
        ((Method("a"),), (TASK,), (1, 1), "'1'"),
        ((Method("scratch", {WHOLE: PRC}),), (TASK,), (0,), "'scratch'"),
        ((Method("a", overrides={"probe": ("x=1",)}),), (TASK,), (0,), "'probe'.*finetune"),
    ],
)
def test_names_are_distinct_and_name_folders(
    methods: tuple, evaluations: tuple, seeds: tuple[int, ...], shown: str
) -> None:
    with pytest.raises(UserError, match=shown):
        Plan(methods, evaluations, seeds)


def test_only_fine_tuning_takes_fractions_and_lists_of_labels() -> None:
    with pytest.raises(UserError, match=r"'p'.*fractions are \(0\.5,\)"):
        Evaluation("p", "task.py", Kind.PROBE, (0.5,))
    with pytest.raises(UserError, match=r"'p'.*label_points"):
        Evaluation("p", "task.py", Kind.PROBE, label_points=20)
    with pytest.raises(UserError, match=r"'f'.*protocol is 'slidr'"):
        Evaluation("f", "task.py", protocol="slidr")
    with pytest.raises(UserError, match="'rain' appears twice"):
        Evaluation("f", "task.py", variants=(Variant("rain"), Variant("rain")))


SETTINGS = (Setting("low", ("train.learning_rate=1e-3",)), Setting("high", ("train.learning_rate=1e-2",)))


def test_settings_are_not_chosen_by_what_is_reported() -> None:
    def plan(selection: Selection, **fields: object) -> Plan:
        evaluation = Evaluation("finetune", "task.py", selection=selection)
        return Plan((Method("a"),), (evaluation,), (0, 1), **{"val_split": "test", **fields})

    plan(Selection(SETTINGS, "val", (100,)))
    with pytest.raises(UserError, match="seed 1 chooses the setting"):
        plan(Selection(SETTINGS, "val", (100, 1)))
    with pytest.raises(UserError, match="chosen on split 'test', scores are of 'test'"):
        plan(Selection(SETTINGS, "test"))
    with pytest.raises(UserError, match="chosen on split 'val', scores are of 'the default split'"):
        plan(Selection(SETTINGS, "val"), val_split=None)


def test_a_grid_holds_several_settings_with_names_of_their_own() -> None:
    with pytest.raises(UserError, match="1 settings"):
        Selection(SETTINGS[:1])
    with pytest.raises(UserError, match="settings of evaluation 'f': 'low' appears twice"):
        Evaluation("f", "task.py", selection=Selection((*SETTINGS, SETTINGS[0])))
    with pytest.raises(UserError, match=r"'free'.*no setting"):
        Evaluation("free", "task.py", Kind.ANNOTATION_FREE, selection=Selection(SETTINGS))


def test_runs_of_fewer_pretrainings_than_seeds_take_turns() -> None:
    few = Pretraining("few", "x.py", runs=2)
    plan = Plan((Method("a", {WHOLE: few}), Method("b", {WHOLE: PRC})), (TASK,), (10, 11, 12, 13, 14))
    assert [plan.pretraining_seed(few, seed) for seed in (10, 11, 12, 13, 14)] == [10, 11, 10, 11, 10]
    assert [plan.pretraining_seed(PRC, seed) for seed in (10, 12, 14)] == [10, 12, 14]
    assert plan.pretraining_seed(PRC, 100) == 10  # a seed that chooses settings
    with pytest.raises(UserError, match=r"'few'.*runs is 0"):
        Pretraining("few", "x.py", runs=0)


def test_permuted_weights_need_their_pretraining() -> None:
    plan = Plan((Method("a", {WHOLE: Permuted(RAD)}),), (TASK,))
    assert plan.pretrainings == (PRC, RAD)


def test_the_budget_changes_every_pretraining() -> None:
    plan = Plan((Method("a", {WHOLE: PRC}),), (TASK,), steps=7, batch_size=3)
    assert plan.budget_overrides == ("train.steps=7", "train.batch_size=3")
