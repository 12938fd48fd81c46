"""Patches of mmagic: deferred imports, sampling that can be differentiated twice, ``numpy.bool8``, and Adam's betas."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from nda_mm.compat import apply_patches
from nda_mm.compat.mmagic import GRID_SAMPLE as MODULE
from nda_mm.compat.mmagic import DeferredImports, MMagicGridSample, NumpyBool8, float_betas, grid_sample
from nda_mm.compat.patch import installed_file


class OfHost(DeferredImports):
    importer = "host.editors"
    packages = ("heavy", "heavier.part", "absent")


def test_packages_are_imported_when_the_framework_uses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "heavy.py": "value = 1\n",
        "heavier/__init__.py": "",
        "heavier/part.py": "value = 2\n",
        "host/__init__.py": "",
        "host/editors.py": "import heavy\nimport heavier.part as part\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    patch = OfHost()
    assert patch.needed() == (installed_file("mmagic", "__init__.py") is not None)
    patch.apply()
    assert not patch.needed()
    editors: Any = importlib.import_module("host.editors")
    assert editors.heavy.__file__ == str(tmp_path / "heavy.py")
    assert not {"heavy", "heavier.part"} & set(sys.modules)
    assert (editors.heavy.value, editors.part.value) == (1, 2)
    assert {"heavy", "heavier.part"} <= set(sys.modules)
    for name in ("host.editors", "host", "heavy", "heavier.part", "heavier"):
        del sys.modules[name]


@pytest.mark.slow
@pytest.mark.skipif(installed_file("mmagic", "__init__.py") is None, reason="needs mmagic")
def test_mmagic_loads_without_what_no_gan_uses(run_fresh: Callable[..., Any]) -> None:
    done = run_fresh(
        "from nda_mm.compat import apply_patches; apply_patches('mmagic')\n"
        "import mmagic.models; from mmagic.models.editors.disco_diffusion import guider\n"
        "print([name for name in ('pandas', 'lpips', 'scipy.signal') if name in sys.modules])\n"
        "import pandas; print(guider.pd.DataFrame is pandas.DataFrame, guider.lpips.LPIPS.__name__)\n"
        "from mmagic.models.editors.stylegan2.ada import augment\n"
        "print(augment.scipy.signal.convolve([1, 2], [3]).tolist())"
    )
    assert done.stdout.splitlines()[-3:] == ["[]", "True LPIPS", "[3, 6]"], done.stderr


@pytest.fixture
def images() -> torch.Tensor:
    drawn = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return drawn.requires_grad_()


@pytest.fixture
def grid() -> torch.Tensor:
    """Places within the images, on their edges and beyond."""
    return torch.rand(2, 3, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2.6 - 1.3


def test_values_are_torchs_and_gradients_those_of_finite_differences(images: torch.Tensor, grid: torch.Tensor) -> None:
    def sampled(x: torch.Tensor) -> torch.Tensor:
        return grid_sample(x, grid).pow(3)  # so that the second gradient depends on the images

    assert torch.equal(grid_sample(images, grid), F.grid_sample(images, grid, align_corners=False))
    assert torch.autograd.gradcheck(sampled, images)
    assert torch.autograd.gradgradcheck(sampled, images)
    with pytest.raises(ValueError, match="grid must not require a gradient"):
        grid_sample(images, grid.requires_grad_())


def slope_of_slope(sample: Callable[..., torch.Tensor]) -> None:
    """The gradient of a gradient, as R1 takes it."""
    images = torch.ones(1, 1, 4, 4, requires_grad=True)
    sampled = sample(images, torch.zeros(1, 2, 2, 2))
    (slope,) = torch.autograd.grad(sampled.square().sum(), images, create_graph=True)
    slope.sum().backward()


def test_a_faulty_module_is_patched_and_a_sound_one_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    patch, module = MMagicGridSample(), SimpleNamespace(grid_sample=partial(F.grid_sample, align_corners=False))
    monkeypatch.setitem(sys.modules, MODULE, module)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="grid_sampler_2d_backward"):
        slope_of_slope(module.grid_sample)
    assert patch.needed()
    patch.apply()
    assert not patch.needed()
    slope_of_slope(module.grid_sample)
    module.grid_sample = lambda images, grid: images[:, :, :1, :1] * 1
    assert not patch.needed()


@pytest.mark.slow
@pytest.mark.skipif(installed_file("mmagic", "__init__.py") is None, reason="needs mmagic")
def test_the_installed_mmagic_augments_with_it() -> None:
    apply_patches("mmagic")
    augment: Any = pytest.importorskip("mmagic.models.editors.stylegan2.ada.augment")
    slope_of_slope(augment.grid_sample_gradfix.grid_sample)


def test_numpys_retired_name_is_given_back_where_mmagic_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def like_numpy_2(name: str) -> None:
        raise AttributeError(name)

    monkeypatch.setattr(np, "bool8", None, raising=False)
    monkeypatch.delattr(np, "bool8")
    monkeypatch.setattr(np, "__getattr__", like_numpy_2, raising=False)  # numpy 1 serves its retired names by this
    patch, source = NumpyBool8(), installed_file("mmagic", "utils/trans_utils.py")
    needed = source is not None and "np.bool8" in source.read_text()
    assert patch.needed() == needed
    patch.apply()
    assert np.bool8 is np.bool_ and not patch.needed()  # type: ignore[attr-defined]
    monkeypatch.delattr(np, "bool8")
    monkeypatch.setitem(sys.modules, "mmagic", None)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    assert not patch.needed() and not MMagicGridSample().needed()


def test_mmagics_own_stylegan2_can_build_its_optimizers(tmp_path: Path) -> None:
    pytest.importorskip("mmagic")
    path = tmp_path / "stock.py"
    path.write_text("_base_ = 'mmagic::styleganv2/stylegan2_c2_8xb4-800kiters_ffhq-256x256.py'\n")
    wrappers = Config.fromfile(path).optim_wrapper
    assert float_betas(wrappers) == 2
    for part, ratio in (("generator", 4 / 5), ("discriminator", 16 / 17)):
        betas = wrappers[part].optimizer.betas
        assert tuple(betas) == (0.0, 0.99**ratio)
        torch.optim.Adam([torch.zeros(1, requires_grad=True)], betas=tuple(betas))
    assert float_betas(wrappers) == float_betas(None) == 0
