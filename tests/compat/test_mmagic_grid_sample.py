"""Sampling that can be differentiated twice, and its way into mmagic's ADA."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from nda_mm.compat.mend import host_file
from nda_mm.compat.mmagic_grid_sample import MODULE, grid_sample

MEND = "from nda_mm.compat.mmagic_grid_sample import MMagicGridSample\nmend = MMagicGridSample()\n"
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


def run_fresh(code: str, *, path: Path | None = None) -> list[str]:
    prefix = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", prefix + code], capture_output=True, text=True)
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
APPLY = "print(mend.needed()); mend.apply(); mend.apply(); print(mend.needed())\n"


@pytest.mark.slow
def test_the_fault_and_the_mend(tmp_path: Path) -> None:
    make_mmagic(tmp_path, "torch.nn.functional.grid_sample(input, grid, align_corners=False)")
    assert run_fresh(LATE + TWICE, path=tmp_path)[0].startswith("fault: derivative for aten::grid_sampler_2d_backward")
    before = run_fresh(MEND + APPLY + LATE + TWICE, path=tmp_path)
    after = run_fresh(LATE + MEND + APPLY + TWICE, path=tmp_path)
    assert before == after == ["True", "False", "twice"]


@pytest.mark.slow
def test_a_host_without_the_fault_is_left_alone(tmp_path: Path) -> None:
    make_mmagic(tmp_path, "input[:, :, :1, :1] * 1")
    assert run_fresh(MEND + "print(mend.needed())", path=tmp_path) == ["False"]
    hidden = "import sys; sys.modules['mmagic'] = None\n"
    assert run_fresh(hidden + MEND + "print(mend.needed())") == ["False"]


@pytest.mark.slow
@pytest.mark.skipif(host_file("mmagic", "__init__.py") is None, reason="needs mmagic")
def test_the_installed_mmagic_augments_with_it() -> None:
    code = (
        "from nda_mm.compat import apply_mends; print('mmagic-grid-sample' in apply_mends('mmagic'))\n"
        "from mmagic.models.editors.stylegan2.ada import augment; module = augment.grid_sample_gradfix\n"
    )
    assert run_fresh(code + TWICE)[-2:] == ["True", "twice"]
