"""The table of configs, and the frame that their backbones are counted on."""

import dataclasses

import numpy as np
import pytest

from pc_ssl.engine import reference_frame
from pc_ssl.engine.catalogue import Entry, cost_of_entry, entries, table
from pc_ssl.engine.catalogue_costs import COSTS
from pc_ssl.recipes import recipes


@pytest.fixture(scope="module")
def found() -> dict[str, Entry]:
    return {entry.name: entry for entry in entries()}


def test_every_config_has_a_line_with_its_classes_and_data_set(found: dict[str, Entry]) -> None:
    assert list(found) == list(recipes())
    entry = found["det_nuscenes_second_lc"]
    assert (entry.trains, entry.backbone, entry.data_set, entry.sweeps) == (
        "DetectionTask",
        "SECOND + LiftSplat",
        "nuscenes",
        10,
    )
    assert entry.image_size == (704, 256)
    assert (found["seg_scannet_unet"].data_set, found["demo/room_prc"].data_set) == ("scannet", "scannet")
    assert found["prc_nuscenes_unet"].sweeps == 1


def test_published_values_are_those_of_the_config_and_of_what_it_inherits(found: dict[str, Entry]) -> None:
    """prc_nuscenes_second: 1024 twice, alpha, region; rotation and scale from _base_/nuscenes.py; layers of SECOND."""
    assert found["prc_nuscenes_second"].published == {"CALICO": 6, "BEVFusion": 7}
    assert found["smoke/prc_unet"].published == {}


def test_every_backbone_is_counted_anew_when_it_changes(found: dict[str, Entry]) -> None:
    """After a change of a backbone: python benchmarks/config_costs.py."""
    assert [name for name, entry in found.items() if entry.key not in COSTS] == []
    assert dataclasses.replace(found["demo/prc"], sweeps=2).gflops == "not counted"


@pytest.mark.parametrize("name", ["smoke/prc_unet", "smoke/rad_second"])
def test_the_table_holds_what_is_counted(found: dict[str, Entry], name: str) -> None:
    assert cost_of_entry(found[name]).operations / 1e9 == pytest.approx(COSTS[found[name].key], abs=1e-3)


def test_the_table_says_what_was_counted(found: dict[str, Entry]) -> None:
    lines = table([found["smoke/prc_unet"]]).splitlines()
    assert lines[0].split()[:3] == ["name", "trains", "backbone"]
    assert lines[1].split()[0] == "smoke/prc_unet"
    assert "synthetic frame" in lines[-1]


def test_the_made_up_street_is_ground_walls_and_boxes_within_reach() -> None:
    points = reference_frame.street().numpy()
    assert points.shape[1] == 4
    assert 20_000 < len(points) < reference_frame.BEAMS * reference_frame.DIRECTIONS
    assert np.abs(points[:, 1]).max() <= reference_frame.WALL + 1e-4
    assert points[:, 2].min() == pytest.approx(-reference_frame.HEIGHT, abs=1e-4)
    assert np.linalg.norm(points[:, :3], axis=1).max() < reference_frame.RANGE
    several = reference_frame.street(3)
    assert sorted(set(several[:, 4].tolist())) == pytest.approx([0.0, 0.05, 0.1])


def test_the_made_up_cameras_look_around_and_see_what_is_in_front() -> None:
    cameras = reference_frame.cameras(704, 256)
    ahead = cameras.camera_from_view[0, 0].numpy() @ np.array([10.0, 0, 0, 1])
    np.testing.assert_allclose(ahead[:3], [0, 0, 10], atol=1e-5)
    left = cameras.camera_from_view[0, 0].numpy() @ np.array([10.0, 2.0, 1.0, 1])
    np.testing.assert_allclose(left[:3], [-2, -1, 10], atol=1e-5)  # images: x to the right, y down
    assert cameras.image.shape == (1, 6, 3, 256, 704)
