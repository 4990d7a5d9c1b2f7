"""`pc-ssl features`: files against the network itself, runs that go on, and one line for every mistake."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from data_prep.point_files import read_columns
from pc_ssl import cli
from pc_ssl.data.cache import Cache
from pc_ssl.engine.weights import read_tensors, save_weights
from pc_ssl.geometry import BevGrid
from pc_ssl.hub import point_features
from pc_ssl.models import SECOND, SparseUNet

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Run:
    """Exit code, standard output and error of `pc-ssl features`."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pc-ssl", "features", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def unet() -> SparseUNet:
    torch.manual_seed(2)
    return SparseUNet((0.2, 0.2, 0.2), 1, 8, (8, 8), (1, 1), (8, 8), (1, 1)).eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_weights(tmp_path / "w.safetensors", nn.ModuleDict({"backbone": unet()}), {"method": "PRC"})
    return tmp_path / "w.safetensors"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three frames of 60 points each; the first and the last are equal."""
    folder = tmp_path / "drive"
    folder.mkdir()
    for number, seed in enumerate((0, 1, 0)):
        rows = np.random.default_rng(seed).uniform(0, 1, (60, 4)).astype("<f4") * [8, 8, 2, 1]
        rows.astype("<f4").tofile(folder / f"{number:06d}.bin")
    return folder


COLUMNS = ("--columns", "x,y,z,intensity", "--device", "cpu")


def test_every_point_has_the_networks_feature_and_equal_frames_are_nearest(
    run: Run, weights: Path, recording: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, error = run(recording, "--weights", weights, "--out", out, *COLUMNS, "--clusters", 3, "--pictures", 1,
                         "--similar-to", "drive/drive-000001#7")  # fmt: skip
    assert code == 0, error
    names = [
        str(path.relative_to(out / "features")) for path in sorted((out / "features").rglob("*")) if path.is_file()
    ]
    assert [name.endswith(f"00000{k}.safetensors") for k, name in enumerate(names)] == [True] * 3
    tensors, _ = read_tensors(out / "features" / names[1])
    points = torch.from_numpy(np.fromfile(recording / "000001.bin", "<f4").reshape(-1, 4))
    torch.testing.assert_close(tensors["xyz"], points[:, :3])
    torch.testing.assert_close(tensors["feature"], point_features(unet(), points), rtol=1e-5, atol=1e-6)
    ply = read_columns(out / "points" / names[1].replace(".safetensors", ".ply"),
                       ("x", "red", "cluster", "similarity"))  # fmt: skip
    np.testing.assert_allclose(ply["x"], points[:, 0].numpy())
    cosine = nn.functional.cosine_similarity(tensors["feature"], tensors["feature"][7:8]).numpy()
    np.testing.assert_allclose(ply["similarity"], cosine, atol=1e-5)
    assert set(ply["cluster"]) <= {0, 1, 2}
    assert len(set(ply["red"])) > 5
    nearest = json.loads((out / "frames.json").read_text())
    first, last = (name.removesuffix(".safetensors") for name in (names[0], names[2]))
    assert nearest[first][0] == {"frame": last, "similarity": 1.0}
    assert len(list((out / "pictures").rglob("*.png"))) == 1


def test_a_second_run_keeps_finished_frames_and_refuses_other_weights(
    run: Run, weights: Path, recording: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = (recording, "--weights", weights, "--out", out, *COLUMNS, "--format", "npy", "--pictures", 0)
    assert run(*arguments)[0] == 0
    files = sorted((out / "features").rglob("*0.npy")) + sorted((out / "features").rglob("*1.npy"))
    assert np.load(files[0]).shape == (60, 8)
    before = files[0].stat().st_mtime_ns
    files[1].unlink()
    assert run(*arguments)[0] == 0
    assert files[0].stat().st_mtime_ns == before
    assert files[1].is_file()
    save_weights(weights, nn.ModuleDict({"backbone": unet()}), {"method": "another"})
    code, _, error = run(*arguments)
    assert code == 1
    assert "settings.json" in error
    assert "weights" in error


def test_a_cache_is_read_as_it_is(run: Run, weights: Path, street_cache: Cache, tmp_path: Path) -> None:
    code, text, error = run(street_cache.path, "--weights", weights, "--out", tmp_path / "out", "--device", "cpu",
                            "--dry-run")  # fmt: skip
    assert code == 0, error
    assert f"{len(street_cache)}, the first" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--similar-to", "drive/drive-000001"), "--similar-to"),
        (("--similar-to", "nowhere#3"), "nowhere"),
        (("--similar-to", "drive/drive-000001#999"), "999"),
        (("--similar-to", "drive/drive-000001@90,0,0"), "no point within"),
        (("--columns", "x,y,z,-"), "x, y, z, but"),
    ],
)
def test_mistakes_are_one_line(
    run: Run, weights: Path, recording: Path, tmp_path: Path, options: tuple[str, str], named: str
) -> None:
    code, _, error = run(recording, "--weights", weights, "--out", tmp_path / "out", *COLUMNS, *options)
    assert code in (1, 2)
    assert named in error
    assert len([line for line in error.splitlines() if line.startswith("error")]) == 1


def test_points_outside_the_grid_have_no_feature_and_a_recording_of_them_is_refused(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    far = SECOND(BevGrid((90, 90, -2), (93.2, 93.2, 2), (0.1, 0.1, 0.2)), 1, (4, 4, 8, 8), (1,) * 4, (8,), (1,), 6)
    save_weights(tmp_path / "far.safetensors", nn.ModuleDict({"backbone": far}), {})
    code, _, error = run(recording, "--weights", tmp_path / "far.safetensors", "--out", tmp_path / "out", *COLUMNS)
    assert code == 1
    assert "grid" in error
