"""Recordings for the Rerun viewer: with a stand-in for its package everywhere, with the package where it is there."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pc_ssl.data.cache import Cache
from pc_ssl.errors import UserError
from pc_ssl.report.page import report
from pc_ssl.report.recording import MISSING, save_recording, viewer_sdk


class StandIn(ModuleType):
    """Keeps what is logged: (step, path) -> archetypes, each as a dict of its arguments with its name."""

    def __init__(self) -> None:
        super().__init__("rerun")
        self.ViewCoordinates = SimpleNamespace(RIGHT_HAND_Z_UP="z up", RDF="rdf")
        self.logged: dict[tuple[int, str], tuple[Any, ...]] = {}
        self.step = -1
        for name in ("Points3D", "Boxes3D", "Pinhole", "Transform3D", "EncodedImage"):
            setattr(self, name, lambda *a, name=name, **how: {"name": name, "positions": a[0] if a else None, **how})

    def RecordingStream(self, application: str) -> "StandIn":
        return self

    def save(self, path: Path) -> None:
        path.write_bytes(b"recording")

    def set_time(self, timeline: str, sequence: int) -> None:
        self.step = sequence

    def log(self, path: str, *content: Any, static: bool = False) -> None:
        self.logged[self.step, path] = content

    def flush(self) -> None: ...

    def disconnect(self) -> None: ...


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = StandIn()
    monkeypatch.setitem(sys.modules, "rerun", module)
    return module


def test_the_first_scene_is_recorded_next_to_the_page(street_cache: Cache, tmp_path: Path, stand_in: StandIn) -> None:
    page = report(street_cache.path, tmp_path / "page.html")
    assert (tmp_path / "page.rrd").read_bytes() == b"recording"
    assert "page.rrd holds the frames of street-00" in page.read_text()
    assert {step for step, _ in stand_in.logged} == {-1, 0, 1}  # two keyframes of six scenes; -1: for all times


def test_what_is_recorded_is_what_the_frame_holds(street_cache: Cache, tmp_path: Path, stand_in: StandIn) -> None:
    save_recording(street_cache, tmp_path / "a.rrd", stand_in)
    frame, xyz = street_cache[1], street_cache[1]["points"].numpy()[:, :3]
    (points,) = stand_in.logged[1, "lidar/region/dbscan"]
    np.testing.assert_array_equal(points["positions"], xyz)
    region, color = frame["region/dbscan"].numpy(), points["colors"]
    shown = (region >= 0) & ~frame["ground"].numpy()
    pairs = {(number, tuple(rgb)) for number, rgb in zip(region[shown], color[shown].tolist(), strict=True)}
    assert len(pairs) == len(np.unique(region[shown]))  # one colour for each region
    (height,) = stand_in.logged[1, "lidar/height"]
    assert height["colors"].shape == xyz.shape
    assert height["colors"].dtype == np.uint8
    (boxes,) = stand_in.logged[1, "lidar/boxes"]
    box = frame["box"].numpy()
    np.testing.assert_array_equal(2 * boxes["half_sizes"], box[:, 3:6])
    x, y, z, w = boxes["quaternions"].T
    assert not x.any()
    assert not y.any()
    np.testing.assert_allclose(np.cos(2 * np.arctan2(z, w)), np.cos(box[:, 6]), atol=1e-6)
    names = [key.removeprefix("image/") for key in frame.keys() if key.startswith("image/")]  # noqa: SIM118
    for name in names:
        place, pinhole = stand_in.logged[1, f"lidar/{name}"]
        camera_from_lidar = frame[f"camera_from_lidar/{name}"].numpy()
        np.testing.assert_allclose(camera_from_lidar[:3, :3] @ place["mat3x3"], np.eye(3), atol=1e-6)
        np.testing.assert_allclose(
            camera_from_lidar[:3, :3] @ place["translation"], -camera_from_lidar[:3, 3], atol=1e-5
        )
        np.testing.assert_array_equal(pinhole["image_from_camera"], frame[f"intrinsic/{name}"].numpy())
        (image,) = stand_in.logged[1, f"lidar/{name}/image"]
        assert image["media_type"] in ("image/png", "image/jpeg")
        assert image["contents"] == frame[f"image/{name}"].numpy().tobytes()
    assert names


def test_without_the_package_a_line_says_so(
    street_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)  # an import of it fails
    page = report(street_cache.path, tmp_path / "page.html")
    assert "rerun-sdk is not installed" in page.read_text()
    assert capsys.readouterr().err == f"{MISSING}\n"
    assert not (tmp_path / "page.rrd").exists()


def test_a_broken_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rerun.py").write_text("import pc_ssl.no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "rerun", raising=False)
    with pytest.raises(UserError, match=r"rerun-sdk: is installed but cannot be imported \(No module named"):
        viewer_sdk()


def test_a_real_recording_is_a_file_of_its_kind(street_cache: Cache, tmp_path: Path) -> None:
    sdk = pytest.importorskip("rerun")
    sdk.set_strict_mode(True)  # what the viewer could not show is an error
    try:
        save_recording(street_cache, tmp_path / "a.rrd", sdk)
    finally:
        sdk.set_strict_mode(False)
    assert (tmp_path / "a.rrd").read_bytes()[:4] == b"RRF2"
