"""What every test may use, and what keeps one test from seeing the traces of another."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nda_mm.compat.mmagic import NumpyBool8
from nda_mm.compat.mmcv import MMCVLite
from nda_mm.compat.notices import WARNINGS
from nda_mm.compat.placeholders import MMActionDRN, MMActionMultimodal, MMagicEditors, MMPretrainMultimodal

PROJECT = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(Path(__file__).parent))  # test modules are imported without a package
collect_ignore_glob = ["tiny_*.py", "small_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Patch the frameworks, which test files import before our package can, and give each worker one thread.

    Several pools of threads on the same cores are slower, and sums would depend on the machine.
    """
    patches = (MMCVLite, NumpyBool8, MMagicEditors, MMPretrainMultimodal, MMActionMultimodal, MMActionDRN)
    for patch in (kind() for kind in patches):
        if patch.needed():
            patch.apply()
    for message, category in WARNINGS:
        config.addinivalue_line("filterwarnings", f"ignore:{message}:{category.__name__}")
    # Read once, at CUDA's first matrix product; without it deterministic algorithms refuse them.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``gpu`` where torch sees none."""
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


#: Where mmengine keeps its globals. Looked up among the loaded modules, since most tests need no mmengine at all.
MANAGERS = (
    ("mmengine.registry.default_scope", "DefaultScope"),
    ("mmengine.logging.message_hub", "MessageHub"),
    ("mmengine.logging.logger", "MMLogger"),
    ("mmengine.visualization.visualizer", "Visualizer"),
)


def mmengine_globals() -> list[dict[str, Any]]:
    """mmengine's tables of named instances, those of modules that are loaded."""
    loaded = [(sys.modules.get(module), name) for module, name in MANAGERS]
    return [getattr(module, name)._instance_dict for module, name in loaded if hasattr(module, name)]


def forget_what_is_new() -> Iterator[None]:
    """Forget the scope, the message hub, the visualizer and the logger that are left behind in mmengine meanwhile."""
    before = {id(instance) for instances in mmengine_globals() for instance in instances.values()}
    yield
    for instances in mmengine_globals():
        for name in [name for name, instance in instances.items() if id(instance) not in before]:
            left_behind = instances.pop(name)
            if isinstance(left_behind, logging.Logger):
                for handler in left_behind.handlers:
                    handler.close()


@pytest.fixture(autouse=True, scope="module")
def fresh_mmengine_globals_of_a_module() -> Iterator[None]:
    """What a module's own fixtures leave behind is not seen by the next module."""
    yield from forget_what_is_new()


@pytest.fixture(autouse=True)
def fresh_mmengine_globals() -> Iterator[None]:
    """What a test leaves behind is not seen by the next test."""
    yield from forget_what_is_new()


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The CPU, and a CUDA device where there is one, to which mmengine's Runner is held too."""
    module = sys.modules.get("mmengine.device.utils")
    before = getattr(module, "DEVICE", None)
    if module is not None:
        module.DEVICE = request.param  # type: ignore[attr-defined]
    yield request.param
    if module is not None:
        module.DEVICE = before  # type: ignore[attr-defined]


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Let torch refuse what is not reproducible to the bit."""
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded generator on the CPU."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def project_root() -> Path:
    """The folder that holds ``nda_mm/``, ``configs/`` and ``tools/``."""
    return PROJECT


@pytest.fixture
def needs_shared_data() -> Path:
    """The folder of data sets beside the project; the test is skipped where it is absent.

    Returns:
        Path of ``../shared/data``.
    """
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the data sets in ../shared/data beside the project")
    return folder
