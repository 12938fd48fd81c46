"""Recipes are inherited by the prefix ``nda_mm::``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from nda_mm.compat import apply_mends
from nda_mm.compat.external_configs import ExternalConfigs
from nda_mm.utils.files import recipe_path

RECIPE = "biggan_cifar10.py"


def test_the_fault_is_there_without_the_mend(tmp_path: Path) -> None:
    """In a fresh interpreter, since the mend stays once it is applied."""
    config = tmp_path / "mine.py"
    config.write_text(f"_base_ = 'nda_mm::{RECIPE}'\n")
    code = (
        "from mmengine.config import Config\n"
        f"try:\n    Config.fromfile({str(config)!r})\n"
        "except (AssertionError, ValueError) as error:\n    print('fault:', type(error).__name__)\n"
        "from nda_mm.compat import apply_mends; print(apply_mends())\n"
        f"Config.fromfile({str(config)!r}); print('inherited')"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    fault, applied, inherited = result.stdout.strip().splitlines()
    assert fault in ("fault: ValueError", "fault: AssertionError")
    assert "external-configs" in applied
    assert inherited == "inherited"


def test_what_is_inherited_is_the_recipe_and_may_be_changed(tmp_path: Path, project_root: Path) -> None:
    apply_mends()
    assert not ExternalConfigs().needed()
    config = tmp_path / "mine.py"
    config.write_text(f"_base_ = ['nda_mm::{RECIPE}']\ntrain_cfg = dict(max_iters=7)\n")
    mine, recipe = Config.fromfile(config), Config.fromfile(recipe_path(RECIPE))
    assert mine.train_cfg.max_iters == 7
    recipe.train_cfg.max_iters = 7
    assert mine.to_dict() == recipe.to_dict()


def test_the_names_of_other_packages_still_go_to_mmengine(tmp_path: Path) -> None:
    pytest.importorskip("mmpretrain")
    apply_mends()
    config = tmp_path / "mine.py"
    config.write_text("_base_ = 'mmpretrain::_base_/schedules/imagenet_bs256.py'\n")
    assert Config.fromfile(config).train_cfg.by_epoch is True


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(FileNotFoundError, match=r"no_such.py.*biggan_cifar10"):
        recipe_path("no_such.py")
