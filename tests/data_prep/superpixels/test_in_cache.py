"""Label maps of images in a cache."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.cache_folder import CacheFolder
from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from data_prep.superpixels.slic import SlicSuperpixels
from pc_ssl.data.cache import Cache, encode_frame
from pc_ssl.data.verify import verify
from pc_ssl.errors import UserError

VERSION, SPLIT = "v1.0-mini", "mini_val"


@pytest.fixture(scope="module")
def maps(pristine_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label map for each camera image, named by its token."""
    folder = tmp_path_factory.mktemp("maps") / "seem"
    folder.mkdir()
    recordings = json.loads((pristine_root / VERSION / "sample_data.json").read_text())
    for row, record in enumerate(recordings):
        if record["width"]:
            Image.fromarray(np.full((48, 64), row, np.uint16)).save(folder / f"{record['token']}.png")
    return folder


def test_each_camera_gets_a_map_from_each_generator(
    pristine_root: Path, maps: Path, clip_folder: Path, tmp_path: Path
) -> None:
    reader = NuScenesReader(pristine_root, VERSION, 1)
    regions, classes = ("dbscan", "slic", f"maps:{maps}", f"clip:{clip_folder}"), reader.classes()["label"]
    stages = choose_stages(regions, split=SPLIT, classes=classes)
    assert prepare(reader, stages, CacheFolder(tmp_path / "cache")).exit_code == 0
    cache = Cache(tmp_path / "cache")
    for index in range(len(cache)):
        frame = cache[index]
        for camera in ("CAM_FRONT", "CAM_BACK"):
            image = np.asarray(Image.open(io.BytesIO(frame[f"image/{camera}"].numpy().tobytes())))
            assert np.array_equal(frame[f"superpixel/slic/{camera}"], SlicSuperpixels()(image, ""))
            assert (frame[f"superpixel/seem/{camera}"] == 0).all()
            label = frame[f"pseudo_label/clip/{camera}"]
            assert (label.shape, str(label.dtype)) == ((48, 64), "torch.uint8")
            assert 1 <= int(label.min()) <= int(label.max()) < len(cache.class_names)
    assert verify(tmp_path / "cache").problems == ()
    assert prepare(reader, stages, CacheFolder(tmp_path / "cache")).prepared == 0


def test_a_missing_label_map_is_reported_by_name(pristine_root: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    options = choose_stages(split=SPLIT, regions=(f"maps:{tmp_path / 'maps'}",))
    with pytest.raises(UserError, match=r"sample_data\d+\.png: no such label map"):
        prepare(NuScenesReader(pristine_root, VERSION, 1), options, CacheFolder(tmp_path / "cache"))


def test_verify_finds_missing_and_invalid_maps(pristine_root: Path, tmp_path: Path) -> None:
    reader = NuScenesReader(pristine_root, VERSION, 1)
    prepare(reader, choose_stages(split=SPLIT, regions=("slic",)), CacheFolder(tmp_path / "cache"))
    cache = Cache(tmp_path / "cache")
    good = {key: cache[0][key].numpy().copy() for key in cache[0].keys()}  # noqa: SIM118 (the file is rewritten)
    key = "superpixel/slic/CAM_FRONT"
    for bad, reason in (
        ({name: value for name, value in good.items() if name != key}, f"{key} is missing"),
        (good | {key: good[key][:-1].copy()}, f"{key} has 64x47 pixels, but its image has 64x48"),
    ):
        rewrite(tmp_path / "cache", bad)
        assert [problem.reason for problem in verify(tmp_path / "cache").problems] == [reason]


def rewrite(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """Replace the first frame, with a valid checksum."""
    import hashlib

    from pc_ssl.data.cache import write_manifest

    manifest = Cache(folder).manifest
    content = encode_frame(tensors)
    entry = manifest.frames[0]
    (folder / entry.file).write_bytes(content)
    entry = dataclasses.replace(entry, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    write_manifest(folder, dataclasses.replace(manifest, frames=[entry, *manifest.frames[1:]]))
