"""`prepare --occlusion`: fewer pairs, no other difference, and recorded in the manifest."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from data_prep.add_regions import add_regions
from data_prep.cache_folder import CacheFolder
from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.projection import Occlusion, pairs_of_cameras
from data_prep.stages import MergeStage
from pc_ssl.cli.app import app
from pc_ssl.data.cache import Cache
from pc_ssl.data.verify import verify
from pc_ssl.errors import UserError

VERSION = "v1.0-mini"


def test_hidden_points_are_only_left_out_of_the_pairs(pristine_root: Path, tmp_path: Path) -> None:
    reader = NuScenesReader(pristine_root, VERSION, 3)
    prepare(reader, choose_stages(), CacheFolder(tmp_path / "all"))
    prepare(reader, choose_stages(occlusion=True), CacheFolder(tmp_path / "seen"))
    assert not verify(tmp_path / "seen").problems
    everything, seen = Cache(tmp_path / "all"), Cache(tmp_path / "seen")
    assert "occlusion" not in everything.manifest.options
    assert seen.manifest.options["occlusion"] == {"pixels": 8.0, "margin": 0.1}
    before = after = 0
    for row in range(len(seen)):
        raw = MergeStage()(reader.source(reader.frames(None)[row]).read())
        expected = pairs_of_cameras(raw.cameras, np.ascontiguousarray(raw.points[:, :3]), Occlusion())
        for key in everything[row].keys():  # noqa: SIM118
            kind, _, camera = key.partition("/")
            if kind in ("pixel", "point"):
                pair = expected[camera][kind == "point"]
                np.testing.assert_array_equal(seen[row][key].numpy(), pair)
                before, after = before + len(everything[row][key]), after + len(pair)
            else:
                np.testing.assert_array_equal(seen[row][key].numpy(), everything[row][key].numpy())
    assert 0 < after < before


def test_a_cache_is_not_continued_with_the_other_setting(pristine_root: Path, tmp_path: Path) -> None:
    reader = NuScenesReader(pristine_root, VERSION)
    prepare(reader, choose_stages(occlusion=True), CacheFolder(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"occlusion is present, requested absent"):
        prepare(reader, choose_stages(), CacheFolder(tmp_path / "cache"))


def test_added_regions_leave_the_pairs_as_they_are(pristine_root: Path, tmp_path: Path) -> None:
    reader = NuScenesReader(pristine_root, VERSION)
    prepare(reader, choose_stages(occlusion=True), CacheFolder(tmp_path / "cache"))
    add_regions(reader, choose_stages(("dbscan3d",)), CacheFolder(tmp_path / "cache"))
    prepare(reader, choose_stages(regions=("dbscan", "dbscan3d"), occlusion=True), CacheFolder(tmp_path / "at once"))
    one, other = Cache(tmp_path / "cache").manifest, Cache(tmp_path / "at once").manifest
    assert one.options == other.options
    assert [frame.sha256 for frame in one.frames] == [frame.sha256 for frame in other.frames]


def test_the_command_passes_it_on(pristine_root: Path, tmp_path: Path) -> None:
    arguments = ["prepare", "nuscenes", "--root", str(pristine_root), "--version", VERSION]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "cache"), "--occlusion"])
    assert result.exit_code == 0, result.output
    assert "occlusion" in Cache(tmp_path / "cache").manifest.options
