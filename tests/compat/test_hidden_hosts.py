"""The package with hosts taken away: what needs them is switched off, and all the rest is there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HOSTS = ("mmagic", "mmpretrain", "mmdet", "mmaction", "mmcv")

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
@pytest.mark.parametrize("hidden", ["mmpretrain", "mmdet", "mmaction"])
def test_gans_stay_when_another_host_is_hidden(hidden: str) -> None:
    pytest.importorskip("mmagic")
    found, log = look(hidden)
    assert "NDABigGAN" in found["MODELS"]
    assert warnings_of(log, "mmagic") == 0


@pytest.mark.slow
def test_without_mmcv_the_warning_says_how_to_build_it() -> None:
    pytest.importorskip("mmagic")
    found, log = look("mmcv")
    assert "NDABigGAN" not in found["MODELS"]
    assert warnings_of(log, "mmagic") == 1
    assert "No module named 'mmcv'" in log
    assert "MMCV_WITH_OPS=1" in log
