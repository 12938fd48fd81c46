"""The hosts beside releases of diffusers and transformers that lack what they import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nda_mm.compat.hugging_face import DIFFUSION, MMActionMultimodal, MMagicEditors, MMPretrainMultimodal, unmet
from nda_mm.compat.patch import installed_file

GOOD = {"diffusers": "0.24.0", "transformers": "4.35.2", "huggingface_hub": "0.25.2", "albumentations": "1.3.1"}


def install(folder: Path, **versions: str) -> None:
    """Packages that have a version, and whose import fails."""
    for name, version in versions.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise ImportError('another release of {name}')\n")
        (folder / f"{name}-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(metadata)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_unmet_requirements_with_what_is_installed(site: Path) -> None:
    install(site, **GOOD)
    assert unmet(DIFFUSION) == []
    assert unmet(["diffusers>=0.25", "no_such_package"]) == [
        "diffusers>=0.25 (found 0.24.0)",
        "no_such_package (not installed)",
    ]


@pytest.mark.parametrize(
    ("other", "replaced"),
    [
        ({}, (False, False, False)),
        ({"diffusers": "0.42.1"}, (True, False, False)),
        ({"huggingface_hub": "2.4.0"}, (True, False, False)),
        ({"transformers": "4.56.0"}, (False, True, True)),
        ({"transformers": "5.24.0"}, (True, True, True)),
    ],
)
def test_parts_are_replaced_where_a_release_lacks_their_names(
    site: Path, other: dict[str, str], replaced: tuple[bool, bool, bool]
) -> None:
    install(site, **{**GOOD, **other})
    found = tuple(bool(patch.loaders()) for patch in (MMagicEditors(), MMPretrainMultimodal(), MMActionMultimodal()))
    assert found == replaced


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "component", "placeholder", "missing"),
    [
        ("mmagic", "BigGAN", "StableDiffusion", "diffusers<0.29,>=0.23 (found 99)"),
        ("mmpretrain", "MoCo", "BlipVQA", "transformers<4.56,>=4.28 (found 99)"),
        ("mmaction", "ResNet3d", "VindLUVQA", "transformers<4.56,>=4.28 (found 99)"),
    ],
)
def test_the_installed_host_loads(tmp_path: Path, host: str, component: str, placeholder: str, missing: str) -> None:
    """The real host: what is used here is there, and a placeholder names what it needs."""
    if installed_file(host, "__init__.py") is None:
        pytest.skip(f"needs {host}")
    install(tmp_path, **dict.fromkeys(GOOD, "99"))
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from nda_mm.compat import apply_patches; apply_patches({host!r})\n"
        f"import {host}.models, {host}.datasets\n"
        f"from {host}.registry import MODELS; print({component!r} in MODELS.module_dict)\n"
        f"MODELS.build(dict(type={placeholder!r}))"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert result.stdout.strip().endswith("True"), result.stderr
    assert f"ImportError: {placeholder} needs {missing}" in result.stderr
