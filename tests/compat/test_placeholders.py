"""Frameworks beside releases of diffusers and transformers that lack what they import, and without a missing module."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from nda_mm.compat import placeholders
from nda_mm.compat.patch import installed_file
from nda_mm.compat.placeholders import DIFFUSION, MMActionDRN, MMagicEditors, MMPretrainMultimodal, unmet

GOOD = {"diffusers": "0.24.0", "transformers": "4.35.2", "huggingface_hub": "0.25.2", "albumentations": "1.3.1"}


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed, to be changed; no placeholder is there yet."""
    installed = dict(GOOD)

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(placeholders.metadata, "version", version)
    monkeypatch.setattr(placeholders, "installed_file", lambda package, file: Path(__file__))
    monkeypatch.setattr(placeholders, "is_awaited", lambda module: False)
    for modules in (placeholders.DIFFUSION_MODULES, placeholders.ALBUMENTATIONS_MODULES):
        monkeypatch.delitem(placeholders.sys.modules, modules[0], raising=False)
    return installed


@pytest.mark.parametrize(
    ("other", "diffusion", "multimodal"),
    [
        ({}, False, False),
        ({"diffusers": "0.42.1"}, True, False),
        ({"huggingface_hub": "2.4.0"}, True, False),
        ({"transformers": "4.56.0"}, False, True),
        ({"transformers": "5.24.0"}, True, True),
    ],
)
def test_parts_are_replaced_where_a_release_lacks_their_names(
    versions: dict[str, str], other: dict[str, str], diffusion: bool, multimodal: bool
) -> None:
    versions.update(other)
    assert (MMagicEditors().needed(), MMPretrainMultimodal().needed()) == (diffusion, multimodal)


def test_unmet_requirements_with_what_is_installed(versions: dict[str, str]) -> None:
    assert unmet(DIFFUSION) == []
    del versions["transformers"]
    assert unmet(["diffusers>=0.25", "transformers"]) == [
        "diffusers>=0.25 (found 0.24.0)",
        "transformers (not installed)",
    ]


def install(folder: Path, **versions: str) -> None:
    """Packages that have a version, and whose import fails."""
    for name, version in versions.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise ImportError('another release of {name}')\n")
        (folder / f"{name}-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(metadata)


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


def test_a_complete_mmaction_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "localizers").mkdir(parents=True)
    (tmp_path / "models" / "localizers" / "__init__.py").write_text("from .drn.drn import DRN\n")
    monkeypatch.delitem(placeholders.sys.modules, placeholders.DRN_MODULES[1], raising=False)

    def find(package: str, relative: str) -> Path | None:
        return path if (path := tmp_path / relative).exists() else None

    monkeypatch.setattr(placeholders, "installed_file", find)
    assert MMActionDRN().needed()
    (tmp_path / "models" / "localizers" / "drn").mkdir()
    assert not MMActionDRN().needed()
