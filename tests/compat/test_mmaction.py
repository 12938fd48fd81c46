"""The stand-in for the module that mmaction2's wheel lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nda_mm.compat.patch import installed_file


def run_fresh(code: str, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with a folder first on its path."""
    prefix = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    return subprocess.run([sys.executable, "-W", "ignore", "-c", prefix + code], capture_output=True, text=True)


def make_mmaction(folder: Path, *, complete: bool) -> None:
    """A small mmaction with the layout of the real one, with or without the folder that its wheel lacks."""
    files = {
        "mmaction/__init__.py": "",
        "mmaction/registry.py": "from mmengine.registry import Registry\nMODELS = Registry('m', scope='mmaction')\n",
        "mmaction/models/__init__.py": "from .localizers import DRN\n",
        "mmaction/models/localizers/__init__.py": "from .drn.drn import DRN\n",
    }
    if complete:
        files["mmaction/models/localizers/drn/__init__.py"] = ""
        files["mmaction/models/localizers/drn/drn.py"] = "class DRN:\n    real = True\n"
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


PATCH = "from nda_mm.compat.mmaction import MMActionDRN\npatch = MMActionDRN()\n"


@pytest.mark.slow
def test_the_fault_and_the_patch(tmp_path: Path) -> None:
    make_mmaction(tmp_path, complete=False)
    fault = run_fresh("import mmaction.models", path=tmp_path)
    assert "ModuleNotFoundError: No module named 'mmaction.models.localizers.drn'" in fault.stderr
    code = (
        "assert patch.needed(); patch.apply(); assert not patch.needed()\n"
        "import mmaction.models; from mmaction.registry import MODELS; MODELS.build(dict(type='DRN'))"
    )
    patched = run_fresh(PATCH + code, path=tmp_path)
    assert "ImportError: DRN (dense regression network, temporal grounding) cannot be built" in patched.stderr
    assert "Install mmaction2 from its source repository" in patched.stderr


def test_a_complete_mmaction_is_left_alone(tmp_path: Path) -> None:
    make_mmaction(tmp_path, complete=True)
    code = "assert not patch.needed()\nfrom mmaction.models import DRN; print(DRN.real)"
    assert run_fresh(PATCH + code, path=tmp_path).stdout.strip() == "True"


def test_without_mmaction_nothing_is_needed() -> None:
    result = run_fresh("import sys; sys.modules['mmaction'] = None\n" + PATCH + "print(patch.needed())")
    assert result.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.skipif(installed_file("mmaction", "__init__.py") is None, reason="needs mmaction2")
def test_the_installed_mmaction_imports() -> None:
    """The real host: its 3-D backbones are there afterwards, and without the patch the bad wheel fails."""
    if installed_file("mmaction", "models/localizers/drn") is None:
        assert "No module named 'mmaction.models.localizers.drn'" in run_fresh("import mmaction.models").stderr
    code = (
        "from nda_mm.compat import apply_patches; apply_patches('mmaction')\n"
        "import mmaction.models; from mmaction.registry import MODELS; print('ResNet3dSlowOnly' in MODELS.module_dict)"
    )
    result = run_fresh(code)
    assert result.stdout.strip().endswith("True"), result.stderr
