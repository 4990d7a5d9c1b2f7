"""The kernels for a GPU, compiled once for all tests that run them on the host."""

import importlib.util
import sys
from pathlib import Path

import pc_ssl._C  # noqa: F401  (these tests are about the compiled ops: where they are missing, all of them fail)
import pytest

_spec = importlib.util.spec_from_file_location("cuda_on_host", Path(__file__).with_name("cuda_on_host.py"))
cuda_on_host = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = cuda_on_host  # so that tests can import it, which pytest's importlib mode does not allow
_spec.loader.exec_module(cuda_on_host)

CSRC = Path(__file__).parents[2] / "csrc"


@pytest.fixture(scope="session")
def cuda_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("cuda_on_host") / "kernels.so"
    cuda_on_host.build_library(CSRC, library)
    return library
