from pathlib import Path

import pytest

from pc_ssl.engine.catalogue import entries
from pc_ssl.engine.initial import WHOLE
from pc_ssl.errors import UserError
from pc_ssl.experiments import Evaluation, Method, Plan, Pretraining
from pc_ssl.experiments.plan_file import names_in
from pc_ssl.experiments.published_table import Part, Preparation, PublishedScore, PublishedTable, load_table
from pc_ssl.experiments.reproduction import VIEWS, Reproduction, views_of
from pc_ssl.recipes import TABLES

CACHE = Preparation("cache", "nuscenes")
PRC = Pretraining("prc", "prc_nuscenes_unet")
METHODS = (Method("scratch"), Method("prc", {WHOLE: PRC}))
FIVE = Evaluation("five", "seg_nuscenes_unet", fractions=(0.05,))


def score(table: str, method: str, evaluation: str, metric: str = "miou", against: str | None = None) -> float:
    """The published value of the one entry with these fields."""
    (value,) = [
        one.value
        for part in load_table(table).parts
        for one in part.scores
        if (one.method, one.evaluation, one.metric, one.against) == (method, evaluation, metric, against)
    ]
    return value


def test_the_package_has_the_tables_of_five_papers() -> None:
    assert list(names_in(TABLES)) == ["calico_detection", "calico_map", "clip2scene", "scannet", "slidr"]


@pytest.mark.parametrize("name", names_in(TABLES))
def test_a_table_is_planned_without_data_and_its_networks_fit(name: str) -> None:
    text = Reproduction(load_table(name), Path("absent"), Path("absent")).describe(10.0)
    assert "not counted" not in text
    assert "at an assumed 10 TFLOP/s" in text
    assert not Path("absent").exists()


def test_published_scores() -> None:
    assert score("calico_detection", "scratch", "lidar-5", "nds") == 37.4
    assert score("calico_detection", "scratch", "lidar-5", "map") == 33.1
    assert score("calico_detection", "prc", "lidar-50", "nds") == 62.1
    assert score("calico_detection", "calico", "lidar-camera-5", "map") == 41.7
    assert score("calico_map", "calico", "map-5", against="scratch") == 5.7
    assert score("slidr", "slidr", "probe") == 38.80
    assert score("slidr", "scratch", "labels-1") == 30.30
    assert score("clip2scene", "clip2scene", "annotation-free") == 20.80
    assert score("clip2scene", "scratch", "labels-100") == 69.1
    assert score("scannet", "scratch", "rooms-20") == 62.9


def test_hours_follow_from_operations_steps_and_batch() -> None:
    """49.907 GFLOPs (the stored count) x 3 x 2 views x 35,160 steps of 16 at 10 TFLOP/s."""
    part = Part("only", CACHE, Plan(METHODS, (FIVE,)), ())
    table = PublishedTable("", "", (), (part,))
    lines = Reproduction(table, Path("data"), Path("work"), seeds=2).describe(10.0).splitlines()
    pretrain = 49.907e9 * 3 * 2 * 35160 * 16 / 1e13 / 3600
    finetune = 49.907e9 * 3 * 1 * 1750 * 16 / 1e13 / 3600
    assert lines[5] == f"  pretrain prc_nuscenes_unet, 2 x 35160 steps of 16: {2 * pretrain:.1f} GPU hours"
    assert lines[6] == f"  finetune seg_nuscenes_unet, five, 4 x 1750 steps of 16: {4 * finetune:.1f} GPU hours"
    assert f"{2 * pretrain + 4 * finetune:.0f} GPU hours" in lines[8]


def test_the_views_of_every_config_are_known() -> None:
    assert {views_of(entry) for entry in entries()} == set(VIEWS.values())


@pytest.mark.parametrize(
    ("evaluations", "scores", "shown"),
    [
        ((Evaluation("f", "t.py", fractions=(0.5, 0.1)),), (), "'f' has several fractions"),
        ((FIVE,), (PublishedScore("slidr", "five", "miou", 1.0),), "'slidr', expected one of scratch, prc"),
        ((FIVE,), (PublishedScore("prc", "ten", "miou", 1.0),), "'ten'"),
        ((FIVE,), (PublishedScore("prc", "five", "iou", 1.0),), "'iou'"),
        ((FIVE,), (PublishedScore("prc", "five", "miou", 1.0, against="fac"),), "'fac'"),
    ],
)
def test_a_score_names_what_the_plan_holds(
    evaluations: tuple[Evaluation, ...], scores: tuple[PublishedScore, ...], shown: str
) -> None:
    with pytest.raises(UserError) as error:
        Part("only", CACHE, Plan(METHODS, evaluations), scores)
    assert shown in str(error.value)


def test_parts_share_a_folder_so_their_names_are_distinct() -> None:
    part = Part("one", CACHE, Plan(METHODS, (FIVE,)), ())
    with pytest.raises(UserError, match="evaluation 'five'"):
        PublishedTable("", "", (), (part, part))
    other = (Method("scratch"), Method("prc", {WHOLE: Pretraining("prc", "prc_nuscenes_second")}))
    ten = Evaluation("ten", "seg_nuscenes_second", fractions=(0.1,))
    with pytest.raises(UserError, match="pretraining 'prc'"):
        PublishedTable("", "", (), (part, Part("two", CACHE, Plan(other, (ten,)), ())))


def test_a_missing_list_of_labelled_scenes_is_named_before_anything_runs(tmp_path: Path) -> None:
    table = load_table("scannet")
    with pytest.raises(UserError, match=r"scenes/1\.txt"):
        Reproduction(table, tmp_path, tmp_path / "work").run()
    with pytest.raises(UserError, match=r"lists/scenes/1\.txt: no such file"):
        Reproduction(table, tmp_path, tmp_path / "work", tmp_path / "lists").run()
    assert not (tmp_path / "work").exists()
