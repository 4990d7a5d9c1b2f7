import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from pc_ssl.data.annotations import (
    DrawnAnnotations,
    FewLabels,
    ListedAnnotations,
    read_annotations,
    read_scene_list,
)
from pc_ssl.errors import UserError
from pc_ssl.structures import Scene


def scene(points: int = 30) -> Scene:
    label = (torch.arange(points) % 4).byte()
    return Scene("scene0000_00", torch.rand(points, 4), torch.full((points,), -1), 0, label)


def test_only_drawn_points_keep_their_class() -> None:
    few = FewLabels(DrawnAnnotations(5))
    sample = few(scene(), np.random.default_rng(0))
    assert (sample.label != 0).sum() == 5
    kept = sample.label != 0
    assert torch.equal(sample.label[kept], scene().label[kept])
    again = few(scene(), np.random.default_rng(1))
    assert torch.equal(sample.label, again.label)  # the same points in each view
    other = FewLabels(DrawnAnnotations(5, seed=1))(scene(), np.random.default_rng(0))
    assert not torch.equal(sample.label, other.label)


def test_with_fewer_labelled_points_all_are_kept() -> None:
    rows = DrawnAnnotations(100).of("a", scene().label)
    assert torch.equal(rows, (scene().label != 0).nonzero()[:, 0])


@pytest.mark.parametrize("kind", ["tensor", "array", "list"])
def test_official_lists_are_read(tmp_path: Path, kind: str) -> None:
    rows = np.array([3, 7, 2])
    value = {"tensor": torch.from_numpy(rows), "array": rows, "list": rows.tolist()}[kind]
    torch.save({"scene0000_00": value}, tmp_path / "points3")
    listed = ListedAnnotations(tmp_path / "points3", read_annotations(tmp_path / "points3"))
    sample = FewLabels(listed)(scene(), np.random.default_rng(0))
    assert (sample.label != 0).nonzero()[:, 0].tolist() == [2, 3, 7]


@pytest.mark.parametrize("core", ["core", "_core"])
def test_lists_of_arrays_are_read_whichever_numpy_wrote_them(tmp_path: Path, core: str) -> None:
    """numpy 1 names the function that rebuilds an array numpy.core.multiarray._reconstruct, numpy 2 numpy._core."""
    torch.save({"scene0000_00": np.array([3, 7, 2])}, tmp_path / "here")
    with zipfile.ZipFile(tmp_path / "here") as source, zipfile.ZipFile(tmp_path / "there", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                content, replaced = re.subn(rb"cnumpy\._?core\.multiarray\n", b"cnumpy.%s.multiarray\n" % core.encode(),
                                            content)  # fmt: skip
                assert replaced == 1
            target.writestr(name, content)
    assert read_annotations(tmp_path / "there")["scene0000_00"].tolist() == [3, 7, 2]


class Harmful:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harm"),)


def test_a_list_with_code_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"scene0000_00": Harmful()}, tmp_path / "points3")
    with pytest.raises(UserError, match=r"points3: .*torch\.save"):
        read_annotations(tmp_path / "points3")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds list, expected scene -> rows"),
        ({}, "holds dict, expected scene -> rows"),
        ({"a": torch.tensor([[1]])}, r"a: holds torch.int64 \[1, 1\]"),
        ({"a": torch.tensor([-1])}, "expected rows of points"),
        ({"a": torch.tensor([0.5])}, "holds torch.float32"),
        ({"a": "text"}, "a: "),
    ],
)
def test_wrong_lists_are_reported(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "points")
    with pytest.raises(UserError, match=message):
        read_annotations(tmp_path / "points")


def test_lists_that_do_not_match_the_rooms_are_reported(tmp_path: Path) -> None:
    listed = ListedAnnotations(Path("points"), {"scene0000_00": torch.tensor([99])})
    with pytest.raises(UserError, match="points: scene0000_00: has point 99, but the room has 30"):
        listed.of("scene0000_00", scene().label)
    with pytest.raises(UserError, match="points: has no points of scene0001_00"):
        listed.of("scene0001_00", scene().label)


def test_scene_lists_keep_the_order_of_the_split(tmp_path: Path) -> None:
    path = tmp_path / "5.txt"
    path.write_text("b\na\n")
    assert read_scene_list(path, ["a", "b", "c"]) == ("a", "b")
    path.write_text("z")
    with pytest.raises(UserError, match=r"5\.txt: holds 'z', expected names of scenes"):
        read_scene_list(path, ["a"])
    path.write_text("")
    with pytest.raises(UserError, match="holds no scene"):
        read_scene_list(path, ["a"])
    with pytest.raises(UserError, match=r"6\.txt: cannot be read"):
        read_scene_list(tmp_path / "6.txt", ["a"])
