"""The error where an optional package is missing, and that the extras it names are those of pyproject.toml."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from pc_ssl.cli import main
from pc_ssl.errors import UserError
from pc_ssl.extras import EXTRAS, extra

PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("name", EXTRAS)
def test_each_extra_is_one_of_the_package(name):
    assert name in PYPROJECT["optional-dependencies"]
    assert name in PYPROJECT["optional-dependencies"]["all"][0]


@pytest.mark.parametrize(("name", "module"), [(name, module) for name, modules in EXTRAS.items() for module in modules])
def test_a_missing_module_names_the_extra(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(UserError, match=rf"this command needs the package {module}.*pip install 'pc-ssl\[{name}\]'"),
        extra(name, "this command"),
    ):
        __import__(module)


def test_a_failure_within_an_installed_package_is_passed_on():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), extra("simulate", "simulating"):
        import no_such_module  # noqa: F401


def test_simulating_without_its_extra_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys):
    for module in [name for name in sys.modules if name.startswith("data_prep.simulate")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "shapely", None)
    monkeypatch.setattr(
        sys, "argv", ["pc-ssl", "simulate", "nuscenes", "--out", str(tmp_path / "streets"), "--scenes", "1"]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "pip install 'pc-ssl[simulate]'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "streets").exists()


def test_patchwork_without_its_extra_names_it(monkeypatch):
    from data_prep.regions.ground_patchwork import PatchworkGround
    from data_prep.regions.mount import SensorMount

    monkeypatch.setitem(sys.modules, "pypatchworkpp", None)
    with pytest.raises(UserError, match=r"pip install 'pc-ssl\[patchwork\]'"):
        PatchworkGround()(np.zeros((4, 3), np.float32), SensorMount(1.8))
