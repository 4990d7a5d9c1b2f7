"""Configs are found by name, from the source tree and from an installed package."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pc_ssl.cli import app
from pc_ssl.config import load_config
from pc_ssl.errors import UsageError, UserError
from pc_ssl.recipes import config_folder, find_config, recipes

ROOT = Path(__file__).parents[1]


def test_every_config_file_has_one_name() -> None:
    files = {path for path in (ROOT / "configs").rglob("*.py") if path.parent.name not in ("_base_", "plans", "tables")}
    named = recipes()
    assert set(named.values()) == files
    assert len(named) == len(files)  # no two folders share a name


def test_names_of_full_size_configs_are_those_of_their_files_and_others_have_the_folder_in_front() -> None:
    configs = config_folder()
    assert find_config("prc_nuscenes_second") == configs / "pretrain" / "prc_nuscenes_second.py"
    assert find_config("seg_scannet_unet") == configs / "downstream" / "seg_scannet_unet.py"
    assert find_config("demo/prc") == configs / "demo" / "prc.py"
    assert find_config("pretrain/prc_nuscenes_second") == find_config("prc_nuscenes_second")
    assert load_config(Path("smoke/prc_unet")).path == configs / "smoke" / "prc_unet.py"


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find_config(tmp_path / "mine.py") == tmp_path / "mine.py"
    (tmp_path / "without_suffix").touch()
    assert find_config(tmp_path / "without_suffix") == tmp_path / "without_suffix"


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("prc", "demo/prc"), ("prc_nuscenes_secnd", "prc_nuscenes_second"), ("smoke/prc_unt", "smoke/prc_unet")],
)
def test_an_unknown_name_lists_similar_ones(wrong: str, near: str) -> None:
    with pytest.raises(UserError) as error:
        find_config(wrong)
    assert repr(wrong) in str(error.value)
    assert near in str(error.value)
    assert "\n" not in str(error.value)


def test_the_installed_package_holds_the_configs(tmp_path: Path) -> None:
    """setuptools copies what a wheel holds; from there, a name works in any folder, and so does inheritance."""
    built, elsewhere = tmp_path / "lib", tmp_path / "elsewhere"
    elsewhere.mkdir()
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(built)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    code = (
        "from pathlib import Path; from pc_ssl.config import load_config; from pc_ssl.recipes import recipes; "
        "c = load_config(Path('prc_nuscenes_second')); print(c.path, len(recipes()), c.values['train']['steps'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere, env={"PYTHONPATH": str(built)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    path = built / "pc_ssl" / "configs" / "pretrain" / "prc_nuscenes_second.py"
    assert done.stdout.split() == [str(path), str(len(recipes())), "35160"]


def run_configs(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["configs", *arguments])


def test_the_command_lists_prints_and_draws(tmp_path: Path) -> None:
    listed = run_configs()
    assert listed.exit_code == 0
    assert all(name in listed.stdout for name in ("prc_nuscenes_second", "demo/bev_detection", "GFLOPs"))
    printed = run_configs("demo/prc", "--set", "train.steps=7")
    (tmp_path / "again.py").write_text(printed.stdout)
    assert load_config(tmp_path / "again.py").values == load_config(Path("demo/prc"), ["train.steps=7"]).values
    picture = tmp_path / "schedule.png"
    assert run_configs("det_nuscenes_c", "--plot-schedule", "--out", str(picture)).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_command_lists_published_values() -> None:
    done = run_configs("--check-published")
    assert done.exit_code == 0
    assert "_base_/nuscenes_bev.py" in done.stdout
    assert "0 of them" in done.stdout


@pytest.mark.parametrize("arguments", [("--plot-schedule",), ("demo/prc", "--check-published")])
def test_the_command_refuses_options_that_do_not_fit(arguments: tuple[str, ...]) -> None:
    assert isinstance(run_configs(*arguments).exception, UsageError)
