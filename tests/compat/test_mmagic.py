"""Patches of mmagic: sampling that can be differentiated twice, ``numpy.bool8``, and Adam's betas."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from nda_mm.compat.mmagic import GRID_SAMPLE as MODULE
from nda_mm.compat.mmagic import NumpyBool8, float_betas, grid_sample
from nda_mm.compat.patches import installed_file

PATCH = "from nda_mm.compat.mmagic import MMagicGridSample\npatch = MMagicGridSample()\n"
#: The gradient of a gradient through the host's module, as R1 takes it.
TWICE = """
import torch
images = torch.ones(1, 1, 4, 4, requires_grad=True)
try:
    sampled = module.grid_sample(images, torch.zeros(1, 2, 2, 2))
    (slope,) = torch.autograd.grad(sampled.square().sum(), images, create_graph=True)
    slope.sum().backward()
    print('twice')
except RuntimeError as error:
    print('fault:', error)
"""


@pytest.fixture
def images() -> torch.Tensor:
    drawn = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return drawn.requires_grad_()


@pytest.fixture
def grid() -> torch.Tensor:
    """Places within the images, on their edges and beyond."""
    return torch.rand(2, 3, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2.6 - 1.3


def test_values_and_gradients_are_torchs(images: torch.Tensor, grid: torch.Tensor) -> None:
    ours, theirs = grid_sample(images, grid), F.grid_sample(images, grid, align_corners=False)
    assert torch.equal(ours, theirs)
    weights = torch.randn(ours.shape, dtype=torch.float64)
    slopes = [torch.autograd.grad((each * weights).sum(), images)[0] for each in (ours, theirs)]
    torch.testing.assert_close(*slopes, rtol=0, atol=0)


def test_higher_gradients_are_those_of_finite_differences(images: torch.Tensor, grid: torch.Tensor) -> None:
    def sampled(x: torch.Tensor) -> torch.Tensor:
        return grid_sample(x, grid).pow(3)  # so that the second gradient depends on the images

    assert torch.autograd.gradcheck(sampled, images)
    assert torch.autograd.gradgradcheck(sampled, images)


def test_the_penalty_of_r1_equals_the_one_by_the_matrix_of_the_map(images: torch.Tensor, grid: torch.Tensor) -> None:
    """Sampling written as a matrix, column by column of the identity, of which autograd knows everything."""
    places, image = grid[:1], images[:1, :1].detach().requires_grad_()
    units = torch.eye(20, dtype=torch.float64).reshape(20, 1, 1, 5, 4)
    matrix = torch.stack([F.grid_sample(unit, places, align_corners=False).flatten() for unit in units], dim=1)
    penalties = []
    for sampled in (grid_sample(image, places).flatten(), matrix @ image.flatten()):
        (slope,) = torch.autograd.grad(sampled.exp().sum(), image, create_graph=True)
        penalties.append(torch.autograd.grad(slope.square().sum(), image)[0])
    torch.testing.assert_close(*penalties)


def test_a_grid_that_wants_a_gradient_is_refused(images: torch.Tensor, grid: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="the grid wants a gradient"):
        grid_sample(images, grid.requires_grad_())


def lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def make_mmagic(folder: Path, body: str) -> None:
    """A small mmagic with the layout of the real one as far as this module."""
    path = folder / Path(*MODULE.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True)
    for parent in list(path.relative_to(folder).parents)[:-1]:
        (folder / parent / "__init__.py").write_text("")
    path.write_text(f"import torch\ndef grid_sample(input, grid):\n    return {body}\n")


LATE = f"import importlib; module = importlib.import_module({MODULE!r})\n"
APPLY = "print(patch.needed()); patch.apply(); patch.apply(); print(patch.needed())\n"


@pytest.mark.slow
def test_the_fault_and_the_patch(tmp_path: Path, run_fresh) -> None:
    make_mmagic(tmp_path, "torch.nn.functional.grid_sample(input, grid, align_corners=False)")
    fault = lines_of(run_fresh(LATE + TWICE))[0]
    assert fault.startswith("fault: derivative for aten::grid_sampler_2d_backward")
    before = lines_of(run_fresh(PATCH + APPLY + LATE + TWICE))
    after = lines_of(run_fresh(LATE + PATCH + APPLY + TWICE))
    assert before == after == ["True", "False", "twice"]


@pytest.mark.slow
def test_a_host_without_the_fault_is_left_alone(tmp_path: Path, run_fresh) -> None:
    make_mmagic(tmp_path, "input[:, :, :1, :1] * 1")
    assert lines_of(run_fresh(PATCH + "print(patch.needed())")) == ["False"]


@pytest.mark.slow
@pytest.mark.skipif(installed_file("mmagic", "__init__.py") is None, reason="needs mmagic")
def test_the_installed_mmagic_augments_with_it(run_fresh) -> None:
    code = (
        "from nda_mm.compat import apply_patches; print('mmagic-grid-sample' in apply_patches('mmagic'))\n"
        "from mmagic.models.editors.stylegan2.ada import augment; module = augment.grid_sample_gradfix\n"
    )
    assert lines_of(run_fresh(code + TWICE))[-2:] == ["True", "twice"]


#: numpy 2 as far as this fault goes: numpy 1 serves its retired names by the module's __getattr__.
LIKE_NUMPY_2 = (
    "import numpy\n"
    "def no_retired_names(name):\n"
    "    raise AttributeError(f'module {numpy.__name__!r} has no attribute {name!r}')\n"
    "if int(numpy.__version__.split('.')[0]) < 2:\n"
    "    served = numpy.__getattr__\n"
    "    numpy.__getattr__ = lambda name: no_retired_names(name) if name == 'bool8' else served(name)\n"
)
needs_faulty_mmagic = pytest.mark.skipif(
    "np.bool8" not in (path.read_text() if (path := installed_file("mmagic", "utils/trans_utils.py")) else ""),
    reason="needs an mmagic that names np.bool8",
)


@needs_faulty_mmagic
def test_needed_exactly_where_numpy_lacks_the_name(run_fresh) -> None:
    code = "from nda_mm.compat.mmagic import NumpyBool8; patch = NumpyBool8()\n"
    said = lines_of(
        run_fresh(
            LIKE_NUMPY_2 + code + "print(patch.needed()); patch.apply()\n"
            "print(patch.needed(), numpy.bool8 is numpy.bool_)"
        )
    )
    assert said == ["True", "False True"]
    if int(np.__version__.split(".")[0]) < 2:
        assert not NumpyBool8().needed()


def test_not_needed_without_mmagic(run_fresh) -> None:
    code = (
        "import sys; sys.modules['mmagic'] = None\n"
        "from nda_mm.compat.mmagic import MMagicGridSample, NumpyBool8\n"
        "print(NumpyBool8().needed(), MMagicGridSample().needed())"
    )
    assert lines_of(run_fresh(LIKE_NUMPY_2 + code)) == ["False False"]


@pytest.mark.slow
@needs_faulty_mmagic
def test_the_installed_mmagic_imports(run_fresh) -> None:
    """The real framework: it fails without the patch, and its GANs are there with it."""
    fault = "try:\n    import mmagic.models\nexcept AttributeError as error:\n    print(error)\n"
    assert "has no attribute 'bool8'" in lines_of(run_fresh(LIKE_NUMPY_2 + fault))[-1]
    code = (
        "from nda_mm.compat import apply_patches; print(apply_patches('mmagic'))\n"
        "import mmagic.models; from mmagic.registry import MODELS; print('BigGAN' in MODELS.module_dict)"
    )
    said = lines_of(run_fresh(LIKE_NUMPY_2 + code))
    assert "numpy-bool8" in "".join(said) and said[-1] == "True"


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


def test_floats_and_whatever_is_no_config_stay() -> None:
    config = dict(optimizer=dict(type="Adam", betas=(0.5, 0.9)), clip_grad=None)
    assert float_betas(config) == 0
    assert config["optimizer"] == dict(type="Adam", betas=(0.5, 0.9))
    assert float_betas(None) == 0
