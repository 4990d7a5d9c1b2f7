"""A small simulated root shared by the tests of the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.simulate.nuscenes import SimulateOptions, simulate_nuscenes

OPTIONS = SimulateOptions(scenes=2, keyframes=3, seed=5, image_size=(160, 90), beams=32, sweeps=2)


@pytest.fixture(scope="session")
def simulated_options() -> SimulateOptions:
    return OPTIONS


@pytest.fixture(scope="session")
def simulated_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of three keyframes with two sweeps before each, written by one process. Tests must not change it."""
    root = tmp_path_factory.mktemp("simulated") / "nuscenes"
    simulate_nuscenes(root, OPTIONS)
    return root
