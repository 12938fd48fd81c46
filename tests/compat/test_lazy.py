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

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import Registry

from nda_mm import registry
from nda_mm.compat import Framework, import_guarded, lazy

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


class Records(logging.Handler):
    """Keeps what is logged at level WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def logged() -> list[str]:
    """The warnings that reach mmengine's current logger."""
    records = Records()
    MMLogger.get_instance("guard-test").handlers = [records]
    return records.messages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> Iterator[Path]:
    """A folder that Python looks into first, with mmaction forgotten, so that a host written there is the one found."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] in ("mmaction", "bridge")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(lazy, "_warned", set())
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("mmaction", "bridge")]:
        del sys.modules[name]


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


@pytest.mark.parametrize(
    ("host_source", "cause", "remedy"),
    [
        (
            "raise AssertionError('MMCV==2.2.0 is used but incompatible.')",
            "AssertionError: MMCV==2.2.0 is used",
            "nda_mm[lite]",
        ),
        ("def f():\n    raise RuntimeError('no operator torchvision::nms')\nf()", "torchvision::nms", "nda_mm[video]"),
    ],
)
def test_a_broken_host_costs_its_bridge_and_one_warning(
    folder: Path, logged: list[str], host_source: str, cause: str, remedy: str
) -> None:
    write(folder, mmaction__models=host_source, bridge="import mmaction.models")
    assert not import_guarded("bridge")
    assert not import_guarded("bridge")
    assert len(logged) == 1
    assert cause in logged[0]
    assert "bridge and whatever else of nda_mm needs mmaction2 is switched off" in logged[0]
    assert remedy in logged[0]
    assert "bridge" not in sys.modules


def test_an_absent_host_is_survived(folder: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> None:
    write(folder, bridge="from mmaction.models import X")
    monkeypatch.setitem(sys.modules, "mmaction", None)  # the interpreter's own way to say: absent
    assert not import_guarded("bridge")
    assert "pip install 'nda_mm[video]'" in logged[0]


@pytest.mark.parametrize(
    ("bridge", "error", "message"),
    [
        ("import mmaction.models\n{}['typo']", KeyError, "typo"),
        ("import mmaction.models\nimport no_such_module_of_ours", ModuleNotFoundError, "no_such_module_of_ours"),
        ("import mmaction.models\nraise AssertionError('ours')", AssertionError, "ours"),
        ("from mmaction.models import Typo", ImportError, "Typo"),
        ("import mmaction.modles", ModuleNotFoundError, "modles"),
        ("def f(:", SyntaxError, "invalid syntax"),
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


#: Hides the hosts named on the command line, looks through every registry, and builds what needs no host.
PROGRAM = """
import importlib.abc, json, sys
hidden = set(sys.argv[1].split(","))

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
import torch
from nda_mm import registry
from nda_mm.negatives import build_negative

found = {}
for kind in ("NEGATIVES", "MODELS", "DATASETS", "DATA_SAMPLERS", "TRANSFORMS", "HOOKS", "LOOPS", "METRICS"):
    node = getattr(registry, kind)
    node.import_from_location()
    found[kind] = sorted(node.module_dict)
images = torch.rand(2, 3, 8, 8)
found["jigsaw moves"] = not torch.equal(build_negative(dict(type="Jigsaw", grid=2))(images), images)
found["loss"] = registry.MODELS.build(dict(type="nda_mm.NDAGANLoss")).__class__.__name__
print("RESULT" + json.dumps(found))
"""


def look(hidden: str) -> tuple[dict[str, list[str]], str]:
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, hidden], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    log, _, found = result.stdout.partition("RESULT")
    return json.loads(found), log + result.stderr


def warnings_of(log: str, host: str) -> int:
    return sum("WARNING" in line and f"needs {host} is switched off" in line for line in log.splitlines())


def test_without_any_host_the_hostless_parts_are_there() -> None:
    found, log = look(",".join(HOSTS))
    assert {"Jigsaw", "Stitch", "Mixup", "CutMix", "Cutout", "RandomNegative", "Curriculum"} <= set(found["NEGATIVES"])
    assert {"CIFAR10", "Digits", "ImageFolder"} <= set(found["DATASETS"])
    assert {"ExactIterLoop", "ExactEpochLoop"} <= set(found["LOOPS"])
    assert "SafeCheckpointHook" in found["HOOKS"]
    assert found["jigsaw moves"] is True
    assert found["loss"] == "NDAGANLoss"
    assert "NDABigGAN" not in found["MODELS"]
    assert warnings_of(log, "mmagic") == 1
    assert "No module named 'mmagic" in log
    assert "pip install 'nda_mm[gan]'" in log


@pytest.mark.slow
def test_gans_stay_when_other_hosts_are_hidden() -> None:
    pytest.importorskip("mmagic")
    found, log = look("mmpretrain,mmdet,mmaction")
    assert "NDABigGAN" in found["MODELS"]
    assert warnings_of(log, "mmagic") == 0


@pytest.mark.slow
def test_without_mmcv_the_warning_says_how_to_build_it() -> None:
    pytest.importorskip("mmagic")
    found, log = look("mmcv")
    assert "NDABigGAN" not in found["MODELS"]
    assert warnings_of(log, "mmagic") == 1
    assert "No module named 'mmcv'" in log
    assert "nda_mm[lite]" in log
