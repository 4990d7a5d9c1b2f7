"""Taxonomies hold together, and caches of data sets without one are read by their manifest."""

import dataclasses

import pytest

from data_prep.nuscenes_classes import ClassNames
from data_prep.nuscenes_names import LABEL_CLASSES
from pc_ssl.data.cache import Cache
from pc_ssl.data.facts import facts_of, facts_of_data_set, taxonomy_of
from pc_ssl.taxonomies import IGNORE, KITTI, NUSCENES, SCANNET, TAXONOMIES, Taxonomy


def test_numbers_of_classes_are_those_of_the_benchmarks() -> None:
    assert [len(NUSCENES.label_classes), len(NUSCENES.detected_classes), len(NUSCENES.map_classes)] == [17, 10, 6]
    assert len(NUSCENES.attributes) == 9
    assert [len(SCANNET.label_classes), len(SCANNET.box_classes), len(KITTI.box_classes)] == [21, 18, 8]
    assert all(taxonomy.label_classes[0] == IGNORE for taxonomy in TAXONOMIES.values())


def test_every_category_is_a_class_of_points_or_boxes() -> None:
    assert set(NUSCENES.class_of_category.values()) <= {*NUSCENES.label_classes, *NUSCENES.box_classes}
    assert LABEL_CLASSES[ClassNames().label_class("vehicle.bus.bendy")] == "bus"


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_classes": ("car",)},
        {"detected_classes": ("truck",)},
        {"box_groups": (("car",),)},
        {"small_classes": ("tree",)},
        {"attribute_of_class": {"car": ("flying", "resting")}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_taxonomy_that_contradicts_itself_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(NUSCENES, **wrong)


def test_facts_of_a_cache_are_those_of_its_manifest(street_cache: Cache, room_cache: Cache) -> None:
    street, room = facts_of(street_cache), facts_of(room_cache)
    assert (street.values["num_classes"], street.values["point_features"]) == (17, 1)
    assert street.values["box_names"] == ("car",)
    assert street.source == str(street_cache.path / "manifest.json")
    assert room.values["label_names"] == tuple(room_cache.class_names[1:])
    assert room.values["point_features"] == room_cache[0]["points"].shape[1] - 3
    assert not {"map_names", "map_reach"} & set(room.values)
    assert taxonomy_of(room_cache).map_classes == ()


def test_facts_that_a_data_set_lacks_are_absent() -> None:
    assert not {"num_classes", "map_names"} & set(facts_of_data_set("kitti", 1).values)
    assert facts_of_data_set("nuscenes", 2).values["map_reach"] == 50.0
    assert Taxonomy().box_classes == ()
