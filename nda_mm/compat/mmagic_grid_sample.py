"""mmagic's adaptive augmentation (ADA) samples images through an operation that has no second derivative any more."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .mend import Mend, host_file

MODULE = "mmagic.models.editors.stylegan2.ada.grid_sample_gradfix"
_FILE = "models/editors/stylegan2/ada/grid_sample_gradfix.py"


def grid_sample(images: Tensor, grid: Tensor) -> Tensor:
    """Sample images at the places of a grid, bilinear with zeros around, differentiable any number of times.

    Sampling is linear in the images: its gradient is the transposed map, and the gradient of that is sampling again.
    ``torch.nn.functional.grid_sample`` gives the same values and first gradients, but no second ones, which a penalty
    on gradients (R1) needs.

    Source: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020,
    https://arxiv.org/abs/2006.06676, whose code corrects the same operation for the versions of torch of its time.

    Args:
        images: Shape: (B, C, H, W).
        grid: Places, -1 to 1 from edge to edge (``align_corners=False``). Shape: (B, H', W', 2). It gets no gradient.

    Returns:
        Shape: (B, C, H', W').

    Raises:
        ValueError: If the grid wants a gradient.

    Example:
        >>> places = torch.zeros(1, 1, 1, 2)  # the middle
        >>> grid_sample(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), places).item()
        3.0
    """
    if grid.requires_grad:
        raise ValueError("the grid wants a gradient, which only torch.nn.functional.grid_sample can give")
    sampled: Tensor = _Sample.apply(images, grid)
    return sampled


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Transposed.apply(gradients[0], grid, ctx.shape), None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        values = values.to(grid.dtype)
        images = values.new_zeros(shape)  # their values play a part in the gradient of the grid alone
        bilinear = zeros = 0
        found, _ = torch.ops.aten.grid_sampler_2d_backward(values, images, grid, bilinear, zeros, False, (True, False))
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(gradients[0], grid), None, None


class _Finder(MetaPathFinder, Loader):
    """Serves the one module, instead of the host's, when mmagic comes to import it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == MODULE else None

    def exec_module(self, module: ModuleType) -> None:
        module.grid_sample = grid_sample  # type: ignore[attr-defined]


class MMagicGridSample(Mend):
    """Let StyleGANs with ADA be trained with R1.

    mmagic's own correction knows torch by version, up to 1.10, and falls back to torch's operation, with a warning at
    every call, on whatever is newer.
    """

    name = "mmagic-grid-sample"
    host = "mmagic"
    reason = "RuntimeError: derivative for aten::grid_sampler_2d_backward is not implemented, in training with ADA"
    versions = "mmagic <= 1.2.0 on torch >= 1.11"

    def needed(self) -> bool:
        if any(isinstance(finder, _Finder) for finder in sys.meta_path):
            return False
        module = sys.modules.get(MODULE) or _load_alone()
        return module is not None and module.grid_sample is not grid_sample and not _differentiates_twice(module)

    def apply(self) -> None:
        if MODULE in sys.modules:
            sys.modules[MODULE].grid_sample = grid_sample  # type: ignore[attr-defined]
        else:
            sys.meta_path.insert(0, _Finder())


def _load_alone() -> ModuleType | None:
    """The host's module by its file, without the packages around it, which take seconds; it imports torch alone."""
    path = host_file("mmagic", _FILE)
    spec = importlib.util.spec_from_file_location("_nda_mm_probe", path) if path is not None else None
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception:  # a host of another making; what is wrong with it shows when it is imported
        return None
    return module


def _differentiates_twice(module: ModuleType) -> bool:
    images = torch.ones(1, 1, 2, 2, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampled = module.grid_sample(images, torch.zeros(1, 1, 1, 2))
    try:
        (slope,) = torch.autograd.grad(sampled.square().sum(), images, create_graph=True)
        torch.autograd.grad(slope.sum(), images)
    except RuntimeError:
        return False
    return True
