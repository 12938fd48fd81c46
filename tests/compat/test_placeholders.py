"""Frameworks beside releases of diffusers and transformers that lack what they import, and without a missing module."""

from __future__ import annotations

from pathlib import Path

import pytest

from nda_mm.compat.patches import installed_file
from nda_mm.compat.placeholders import DIFFUSION, unmet

GOOD = {"diffusers": "0.24.0", "transformers": "4.35.2", "huggingface_hub": "0.25.2", "albumentations": "1.3.1"}


def install(folder: Path, **versions: str) -> None:
    """Packages that have a version, and whose import fails."""
    for name, version in versions.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise ImportError('another release of {name}')\n")
        (folder / f"{name}-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(metadata)


@pytest.mark.parametrize(
    ("other", "replaced"),
    [
        ({}, (False, False)),
        ({"diffusers": "0.42.1"}, (True, False)),
        ({"huggingface_hub": "2.4.0"}, (True, False)),
        ({"transformers": "4.56.0"}, (False, True)),
        ({"transformers": "5.24.0"}, (True, True)),
    ],
)
def test_parts_are_replaced_where_a_release_lacks_their_names(
    tmp_path: Path, run_fresh, other: dict[str, str], replaced: tuple[bool, bool]
) -> None:
    for name in ("mmagic", "mmpretrain", "mmaction"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    install(tmp_path, **{**GOOD, **other})
    done = run_fresh(
        "from nda_mm.compat.placeholders import MMActionMultimodal, MMagicEditors, MMPretrainMultimodal\n"
        "patches = MMagicEditors(), MMPretrainMultimodal(), MMActionMultimodal()\n"
        "print([patch.needed() for patch in patches])\n"
        "[patch.apply() for patch in patches if patch.needed()]; print([patch.needed() for patch in patches])"
    )
    diffusion, multimodal = replaced
    assert done.stdout.splitlines() == [str([diffusion, multimodal, multimodal]), str([False] * 3)], done.stderr


def test_unmet_requirements_with_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, **GOOD)
    assert unmet(DIFFUSION) == []
    assert unmet(["diffusers>=0.25", "no_such_package"]) == [
        "diffusers>=0.25 (found 0.24.0)",
        "no_such_package (not installed)",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "component", "placeholder", "missing"),
    [
        ("mmagic", "BigGAN", "StableDiffusion", "diffusers<0.29,>=0.23 (found 99)"),
        ("mmpretrain", "MoCo", "BlipVQA", "transformers<4.56,>=4.28 (found 99)"),
        ("mmaction", "ResNet3d", "VindLUVQA", "transformers<4.56,>=4.28 (found 99)"),
    ],
)
def test_the_installed_host_loads(
    tmp_path: Path, run_fresh, host: str, component: str, placeholder: str, missing: str
) -> None:
    """The real host: what is used here is there, and a placeholder names what it needs."""
    if installed_file(host, "__init__.py") is None:
        pytest.skip(f"needs {host}")
    install(tmp_path, **dict.fromkeys(GOOD, "99"))
    result = run_fresh(
        f"from nda_mm.compat import apply_patches; apply_patches({host!r})\n"
        f"import {host}.models, {host}.datasets\n"
        f"from {host}.registry import MODELS; print({component!r} in MODELS.module_dict)\n"
        f"MODELS.build(dict(type={placeholder!r}))"
    )
    assert result.stdout.strip().endswith("True"), result.stderr
    assert f"ImportError: {placeholder} needs {missing}" in result.stderr


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


DRN = "from nda_mm.compat.placeholders import MMActionDRN\npatch = MMActionDRN()\n"


@pytest.mark.slow
def test_a_module_that_the_wheel_lacks_is_replaced(tmp_path: Path, run_fresh) -> None:
    make_mmaction(tmp_path, complete=False)
    fault = run_fresh("import mmaction.models")
    assert "ModuleNotFoundError: No module named 'mmaction.models.localizers.drn'" in fault.stderr
    patched = run_fresh(
        DRN + "assert patch.needed(); patch.apply(); assert not patch.needed()\n"
        "import mmaction.models; from mmaction.registry import MODELS; MODELS.build(dict(type='DRN'))"
    )
    assert "ImportError: DRN is missing from the wheel" in patched.stderr


def test_a_complete_mmaction_is_left_alone(tmp_path: Path, run_fresh) -> None:
    make_mmaction(tmp_path, complete=True)
    done = run_fresh(DRN + "assert not patch.needed()\nfrom mmaction.models import DRN; print(DRN.real)")
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.slow
@pytest.mark.skipif(installed_file("mmaction", "__init__.py") is None, reason="needs mmaction2")
def test_the_installed_mmaction_imports(run_fresh) -> None:
    """The real host: its 3-D backbones are there afterwards, and without the patch the bad wheel fails."""
    if installed_file("mmaction", "models/localizers/drn") is None:
        assert "No module named 'mmaction.models.localizers.drn'" in run_fresh("import mmaction.models").stderr
    result = run_fresh(
        "from nda_mm.compat import apply_patches; apply_patches('mmaction')\n"
        "import mmaction.models; from mmaction.registry import MODELS; print('ResNet3dSlowOnly' in MODELS.module_dict)"
    )
    assert result.stdout.strip().endswith("True"), result.stderr
