"""Loss curves, caches, help and public names are those of the golden files; `make.py` says how they are renewed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOLERANCE = 1e-3  # relative, of losses after 20 steps; another processor adds in another order


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", Path(__file__).with_name("make.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("section", ["help", "api"])
def test_help_and_public_names_are_the_golden_ones(make: ModuleType, section: str, tmp_path: Path) -> None:
    assert make.differences(section, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("section", ["loss_curves", "caches"])
def test_losses_and_caches_are_the_golden_ones(make: ModuleType, section: str, tmp_path: Path) -> None:
    assert make.differences(section, tmp_path, TOLERANCE) == []
