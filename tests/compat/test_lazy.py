"""What needs a framework is switched off by that framework's failure, by nothing else, and is imported at first use.

Modules and frameworks are real modules in a temporary folder; a framework has the name of a known one and shadows it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import Registry

from nda_mm import registry
from nda_mm.compat import Framework, import_guarded, lazy

HOSTS = ["mmagic", "mmpretrain", "mmdet", "mmaction", "mmcv"]
IMPORTS = [
    *(f"import nda_mm.{package}" for package in ("datasets", "engine", "evaluation", "models", "negatives")),
    "from nda_mm.engine import ExactIterLoop, NegativeGridHook, SafeCheckpointHook, launch",
    "from nda_mm.datasets import CIFAR10, Digits",
    "from nda_mm.models import DPC, DiffAugment, NDAGANLoss",
    "from nda_mm.registry import MODELS",
]
#: What needs a host, the host, and the extra that installs it.
MISSING = {
    "models.NDABigGAN": ("mmagic", "gan"),
    "engine.NDAContrastHook": ("mmpretrain", "ssl"),
    "datasets.CheckedCocoDataset": ("mmdet", "det"),
    "models.ResNet2d3d": ("mmaction", "video"),
}
#: Imports without asking for a host; then hides all hosts, looks through the registries, and builds what needs none.
PROGRAM = """
import importlib, importlib.abc, json, sys
hosts, imports, missing = json.loads(sys.argv[1])
found = {"loaded": []}
for line in imports:
    exec(line)
    found["loaded"] += [f"{line}: {host}" for host in hosts if host in sys.modules]

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hosts:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
import torch
from nda_mm import registry
from nda_mm.negatives import build_negative

for kind in ("NEGATIVES", "MODELS", "DATASETS", "DATA_SAMPLERS", "TRANSFORMS", "HOOKS", "LOOPS", "METRICS"):
    node = getattr(registry, kind)
    node.import_from_location()
    found[kind] = sorted(node.module_dict)
images = torch.rand(2, 3, 8, 8)
found["jigsaw moves"] = not torch.equal(build_negative(dict(type="Jigsaw", grid=2))(images), images)
found["loss"] = registry.MODELS.build(dict(type="nda_mm.NDAGANLoss")).__class__.__name__
found["said"] = []
for name in missing:
    package, name = name.split(".")
    try:
        getattr(importlib.import_module(f"nda_mm.{package}"), name)
    except ImportError as error:
        found["said"].append(f"{error.name} {error}")
print("RESULT" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def hostless() -> tuple[dict[str, Any], str]:
    """What the program found, and its log."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps([HOSTS, IMPORTS, list(MISSING)])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    log, _, found = done.stdout.partition("RESULT")
    return json.loads(found), log + done.stderr


def test_no_host_is_loaded_that_is_not_asked_for(hostless: tuple[dict[str, Any], str]) -> None:
    assert hostless[0]["loaded"] == []


def test_without_any_host_the_hostless_parts_are_there(hostless: tuple[dict[str, Any], str]) -> None:
    found, log = hostless
    assert {"Jigsaw", "Stitch", "Mixup", "CutMix", "Cutout", "RandomNegative", "Curriculum"} <= set(found["NEGATIVES"])
    assert {"CIFAR10", "Digits", "ImageFolder"} <= set(found["DATASETS"])
    assert {"ExactIterLoop", "ExactEpochLoop"} <= set(found["LOOPS"])
    assert "SafeCheckpointHook" in found["HOOKS"]
    assert found["jigsaw moves"] is True
    assert found["loss"] == "NDAGANLoss"
    assert "NDABigGAN" not in found["MODELS"]
    assert sum("WARNING" in line and "needs mmagic is disabled" in line for line in log.splitlines()) == 1
    assert "No module named 'mmagic" in log and "pip install 'nda_mm[gan]'" in log


def test_a_missing_host_is_named_with_what_to_install(hostless: tuple[dict[str, Any], str]) -> None:
    for line, (name, (host, extra)) in zip(hostless[0]["said"], MISSING.items(), strict=True):
        assert line.startswith(f"{host} nda_mm.{name} needs {host}")
        assert f"nda_mm[{extra}]" in line


#: Names until 0.1, which the registries keep for one version.
FORMER = {"ForeignImage", "ForeignStitch", "OutlyingDigits", "ClassAgreement", "OffModes"}
FORMER |= {"SampleSheetHook", "PointSheetHook", "TranslationSheetHook"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "node", [node for node in vars(registry).values() if isinstance(node, Registry) and node.scope == registry.SCOPE],
    ids=lambda node: node.name,
)  # fmt: skip
def test_what_is_registered_can_be_imported_under_its_name(node: Registry) -> None:
    node.import_from_location()
    for name, kind in node.module_dict.items():
        if not kind.__module__.startswith("nda_mm.") or name in FORMER:
            continue  # a test's own, or a name that configs alone may use
        package = import_module(".".join(kind.__module__.split(".")[:2]))
        assert getattr(package, name) is kind
        assert name in package.__all__
        assert name in dir(package)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'nda_mm\.models' has no attribute 'NDABigGun'"):
        import_module("nda_mm.models").NDABigGun  # noqa: B018


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings that reach mmengine's current logger."""
    messages: list[str] = []

    def handle(record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            messages.append(record.getMessage())

    monkeypatch.setattr(MMLogger.get_instance("guard-test"), "handle", handle)
    return messages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> Iterator[Path]:
    """A folder that Python looks into first, with mmaction forgotten, so that a host written there is the one found."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lazy, "_warned", set())
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.split(".")[0] == "mmaction"]:
            del sys.modules[name]
        yield tmp_path


def write(folder: Path, **modules: str) -> None:
    """Write modules; ``a__b`` is module b of package a."""
    for name, source in modules.items():
        path = folder.joinpath(*name.split("__"))
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch() if path.parent != folder else None
        path.with_suffix(".py").write_text(source)


def test_a_sound_host_is_used(folder: Path, logged: list[str]) -> None:
    write(folder, mmaction__models="X = 1", bridge="from mmaction.models import X")
    assert import_guarded("bridge")
    assert sys.modules["bridge"].X == 1
    assert not logged


def test_a_broken_host_costs_its_bridge_and_one_warning(folder: Path, logged: list[str]) -> None:
    source = "def f():\n    raise RuntimeError('no operator torchvision::nms')\nf()"
    write(folder, mmaction__models=source, bridge="import mmaction.models")
    assert not import_guarded("bridge")
    assert not import_guarded("bridge")
    (said,) = logged
    assert "torchvision::nms" in said and "nda_mm[video]" in said
    assert "bridge and everything else in nda_mm that needs mmaction2 is disabled" in said
    assert "bridge" not in sys.modules


@pytest.mark.parametrize(
    ("bridge", "error", "message"),
    [
        ("import mmaction.models\n{}['typo']", KeyError, "typo"),
        ("from mmaction.models import Typo", ImportError, "Typo"),
        ("import mmaction.modles", ModuleNotFoundError, "modles"),
        ("from mmaction.models import fail\nfail(0)", ZeroDivisionError, "division"),
    ],
)
def test_our_own_mistakes_are_raised(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bridge: str, error: type[Exception], message: str
) -> None:
    monkeypatch.setattr(Framework, "version", lambda self: "1.2.0")
    write(folder, mmaction__models="X = 1\ndef fail(x):\n    return 1 / x", bridge=bridge)
    with pytest.raises(error, match=message):
        import_guarded("bridge")


def test_a_name_that_an_untried_version_lacks_is_the_hosts_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Framework, "version", lambda self: "9.0.0")
    write(folder, mmaction__models="X = 1", bridge="from mmaction.models import MovedElsewhere")
    assert not import_guarded("bridge")
