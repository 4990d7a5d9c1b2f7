import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

TOY_TRAINING = Path(__file__).with_name("toy_training.py")


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """`toy_training.py` as a module."""
    spec = importlib.util.spec_from_file_location("toy_training", TOY_TRAINING)
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_training"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bit-equal sums, and processes that can be forked from this one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
