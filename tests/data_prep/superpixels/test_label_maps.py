from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.superpixels import image_generator, is_image_generator
from data_prep.superpixels.label_maps import LabelMaps
from pc_ssl.errors import UsageError, UserError

IMAGE = np.zeros((3, 4, 3), np.uint8)
VALUES = [[0, 0, 7, 7], [0, 9, 9, 7], [300, 9, 9, 300]]


def put(folder: Path, values: object, dtype: type, name: str = "frame") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(folder / f"{name}.png")


def test_values_are_renumbered_in_their_order(tmp_path: Path) -> None:
    put(tmp_path, VALUES, np.uint16)
    label = LabelMaps(str(tmp_path))(IMAGE, "frame")
    assert label.dtype == np.int32
    assert label.tolist() == [[0, 0, 1, 1], [0, 2, 2, 1], [3, 2, 2, 3]]


def test_labels_are_indices_of_a_palette_not_its_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1, 2, 2]] * 3, np.uint8), mode="P")
    picture.putpalette([5, 5, 5] * 256)  # all colours the same
    picture.save(tmp_path / "frame.png")
    assert LabelMaps(str(tmp_path))(IMAGE, "frame").tolist() == [[0, 1, 2, 2]] * 3


def test_names_may_contain_folders_but_not_leave_the_root(tmp_path: Path) -> None:
    put(tmp_path / "maps", [[1, 1, 1, 2]] * 3, np.uint8, "scene0/frame")
    put(tmp_path, [[1, 1, 1, 2]] * 3, np.uint8, "outside")
    maps = LabelMaps(str(tmp_path / "maps"))
    assert maps(IMAGE, "scene0/frame").tolist() == [[0, 0, 0, 1]] * 3
    with pytest.raises(UserError):
        maps(IMAGE, "../outside")


def test_an_invalid_map_is_reported_with_file_and_reason(tmp_path: Path) -> None:
    maps = LabelMaps(str(tmp_path))
    with pytest.raises(UserError, match=r"frame\.png: no such label map"):
        maps(IMAGE, "frame")
    put(tmp_path, np.zeros((3, 5)), np.uint8)
    with pytest.raises(UserError, match=r"frame\.png: has 5x3 pixels, but its image has 4x3"):
        maps(IMAGE, "frame")
    put(tmp_path, np.zeros((3, 4, 3)), np.uint8)
    with pytest.raises(UserError, match=r"frame\.png: is a PNG image of mode RGB"):
        maps(IMAGE, "frame")
    put(tmp_path, VALUES, np.uint16)
    whole = (tmp_path / "frame.png").read_bytes()
    for damaged in (whole[:40], b"no image", b""):
        (tmp_path / "frame.png").write_bytes(damaged)
        with pytest.raises(UserError, match=r"frame\.png: cannot be decoded"):
            maps(IMAGE, "frame")


def test_generators_are_selected_by_name_or_by_kind_and_folder(tmp_path: Path) -> None:
    name, generator = image_generator(f"maps:{tmp_path}/", ())
    assert (name, generator) == (tmp_path.name, LabelMaps(f"{tmp_path}/"))
    assert image_generator("slic", ())[0] == "slic"
    assert is_image_generator("slic")
    assert is_image_generator("maps:somewhere")
    assert not is_image_generator("dbscan")
    with pytest.raises(UsageError, match="'maps' needs a folder"):
        image_generator("maps", ())
    with pytest.raises(UsageError, match=r"unknown generator 'slick'.*known: slic, maps:FOLDER"):
        image_generator("slick", ())
    with pytest.raises(UserError, match="no such folder"):
        image_generator("maps:/nowhere/at/all", ())
