"""Every registered class is a public name of its package, and no host is loaded that is not asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from mmengine.registry import Registry

from nda_mm import registry

HOSTS = {"mmagic", "mmpretrain", "mmdet", "mmaction", "mmcv"}
PACKAGES = ("datasets", "engine", "evaluation", "models", "negatives")


def run_fresh(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    "node", [node for node in vars(registry).values() if isinstance(node, Registry) and node.scope == registry.SCOPE],
    ids=lambda node: node.name,
)  # fmt: skip
def test_what_is_registered_can_be_imported_under_its_name(node: Registry) -> None:
    node.import_from_location()
    for name, kind in node.module_dict.items():
        if not kind.__module__.startswith("nda_mm."):
            continue  # a test's own
        package = import_module(".".join(kind.__module__.split(".")[:2]))
        assert getattr(package, name) is kind
        assert name in package.__all__
        assert name in dir(package)


def test_no_host_is_loaded_that_is_not_asked_for() -> None:
    imports = [
        *(f"import nda_mm.{package}" for package in PACKAGES),
        "from nda_mm.engine import ExactIterLoop, NegativeGridHook, SafeCheckpointHook, launch",
        "from nda_mm.datasets import CIFAR10, Digits",
        "from nda_mm.models import DPC, DiffAugment, NDAGANLoss",
        "from nda_mm.registry import MODELS",
    ]
    code = (
        f"import sys\nfor line in {imports!r}:\n    exec(line)\n    print(line, sorted({HOSTS!r} & set(sys.modules)))"
    )
    assert run_fresh(code) == [f"{line} []" for line in imports]


@pytest.mark.slow
def test_a_missing_host_is_named_with_what_to_install() -> None:
    missing = {
        "models.NDABigGAN": ("mmagic", "gan"),
        "engine.NDAContrastHook": ("mmpretrain", "ssl"),
        "datasets.CheckedCocoDataset": ("mmdet", "det"),
        "models.ResNet2d3d": ("mmaction", "video"),
    }
    said = run_fresh(
        f"import sys, importlib\nsys.modules.update(dict.fromkeys({HOSTS!r}))\n"
        f"for name in {list(missing)!r}:\n"
        "    package, name = name.split('.')\n"
        "    try:\n        getattr(importlib.import_module(f'nda_mm.{package}'), name)\n"
        "    except ImportError as error:\n        print(error.name, error)"
    )
    for line, (name, (host, extra)) in zip(said, missing.items(), strict=True):
        assert line.startswith(f"{host} nda_mm.{name} needs {host}")
        assert f"nda_mm[{extra}]" in line


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'nda_mm\.models' has no attribute 'NDABigGun'"):
        import_module("nda_mm.models").NDABigGun  # noqa: B018
