"""Patches of mmagic: slow imports, a name that numpy 2 lacks, ADA's second derivative, settings that torch rejects.

For the parts that need diffusers and transformers see :mod:`nda_mm.compat.placeholders`.
"""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .patch import Patch, around_import, installed_file, is_awaited

GRID_SAMPLE = "mmagic.models.editors.stylegan2.ada.grid_sample_gradfix"


class DeferredModule(ModuleType):
    """Module that is imported when one of its attributes is first accessed.

    :class:`importlib.util.LazyLoader` does the same, but also imports the module when its ``__file__`` is read, which
    mmengine's registries do for every module.

    Args:
        spec: Import spec of the module.
    """

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__file__ = spec, spec.origin

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


class DeferredImports(Patch):
    """Defer packages that mmagic imports with its models but uses only for ADA and in editors other than GANs.

    They are deferred for mmagic only. Other importers get the packages themselves.
    """

    name = "mmagic-deferred-imports"
    framework = "mmagic"
    reason = "a sixth of the time of `import mmagic.models` is spent on pandas, lpips and scipy.signal"
    versions = "mmagic <= 1.2.0"

    importer = "mmagic.models.editors"
    packages = ("lpips", "pandas", "scipy.signal")

    def needed(self) -> bool:
        absent = self.importer not in sys.modules and not is_awaited(self.importer)
        return absent and installed_file("mmagic", "__init__.py") is not None

    def apply(self) -> None:
        around_import(self.importer, self.put, self.take_back)

    def put(self) -> None:
        """Put deferred modules into ``sys.modules``."""
        for name in self.packages:
            top = name.split(".")[0]
            spec = None if name in sys.modules or not importlib.util.find_spec(top) else importlib.util.find_spec(name)
            if spec is not None:
                sys.modules[name] = DeferredModule(spec)

    def take_back(self, module: Any) -> None:
        """Remove the deferred modules again."""
        for name in self.packages:
            if isinstance(sys.modules.get(name), DeferredModule):
                del sys.modules[name]


class NumpyBool8(Patch):
    """Restore ``numpy.bool8`` in numpy 2, the old name of ``numpy.bool_`` that mmagic looks up on import."""

    name = "numpy-bool8"
    framework = "mmagic"
    reason = "AttributeError: module 'numpy' has no attribute 'bool8', at `import mmagic.models`"
    versions = "mmagic <= 1.2.0 with numpy >= 2"

    def needed(self) -> bool:
        import numpy as np

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy 1 still has the name, with a deprecation warning
            if hasattr(np, "bool8"):
                return False
        source = installed_file("mmagic", "utils/trans_utils.py")
        return source is not None and "np.bool8" in source.read_text(encoding="utf-8")

    def apply(self) -> None:
        import numpy as np

        np.bool8 = np.bool_  # type: ignore[attr-defined]


class MMagicGridSample(Patch):
    """Let StyleGANs with ADA be trained with R1.

    mmagic's own workaround only knows torch versions up to 1.10. On newer versions it falls back to torch's operation,
    which has no second derivative.
    """

    name = "mmagic-grid-sample"
    framework = "mmagic"
    reason = "RuntimeError: derivative for aten::grid_sampler_2d_backward is not implemented, in training with ADA"
    versions = "mmagic <= 1.2.0 on torch >= 1.11"

    def needed(self) -> bool:
        theirs = self._find()
        return theirs not in (None, grid_sample) and not self._differentiates_twice(theirs)

    def apply(self) -> None:
        module = sys.modules.setdefault(GRID_SAMPLE, ModuleType(GRID_SAMPLE))  # used instead of mmagic's own file
        module.grid_sample = grid_sample  # type: ignore[attr-defined]

    @staticmethod
    def _find() -> Any:
        """Load mmagic's function from its file alone, because the packages around it take seconds to import."""
        if GRID_SAMPLE in sys.modules:
            return sys.modules[GRID_SAMPLE].grid_sample
        path = installed_file("mmagic", f"{GRID_SAMPLE.removeprefix('mmagic.').replace('.', '/')}.py")
        try:
            return runpy.run_path(str(path))["grid_sample"] if path else None
        except Exception:  # a different mmagic; importing it will show what is wrong
            return None

    @staticmethod
    def _differentiates_twice(sample: Callable[[Tensor, Tensor], Tensor]) -> bool:
        images = torch.ones(1, 1, 2, 2, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampled = sample(images, torch.zeros(1, 1, 1, 2))
        try:
            (slope,) = torch.autograd.grad(sampled.square().sum(), images, create_graph=True)
            torch.autograd.grad(slope.sum(), images)
        except RuntimeError:
            return False
        return True


def grid_sample(images: Tensor, grid: Tensor) -> Tensor:
    """Sample images at the points of a grid: bilinear, with zero padding, differentiable any number of times.

    Sampling is linear in the images: its gradient is the transposed map, and the gradient of that is sampling again.
    ``torch.nn.functional.grid_sample`` gives the same values and first derivatives, but no second derivatives, which a
    gradient penalty (R1) needs.

    Source: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020,
    https://arxiv.org/abs/2006.06676, whose code corrects the same operation for the torch versions of its time.

    Args:
        images: Images to sample. Shape: (B, C, H, W).
        grid: Points, -1 to 1 from edge to edge (``align_corners=False``). It gets no gradient. Shape: (B, H', W', 2).

    Returns:
        The sampled images. Shape: (B, C, H', W').

    Raises:
        ValueError: If the grid requires a gradient.

    Example:
        >>> places = torch.zeros(1, 1, 1, 2)  # the middle
        >>> grid_sample(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), places).item()
        3.0
    """
    if grid.requires_grad:
        raise ValueError("grid must not require a gradient; torch.nn.functional.grid_sample can compute it")
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
        images = values.new_zeros(shape)  # their values only matter for the gradient of the grid
        bilinear = zeros = 0
        found, _ = torch.ops.aten.grid_sampler_2d_backward(values, images, grid, bilinear, zeros, False, (True, False))
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(gradients[0], grid), None, None


def float_betas(node: Any) -> int:
    """Convert the ``betas`` of every optimizer in a config to floats, in place.

    mmagic's StyleGAN2 recipes set ``betas=(0, 0.99**ratio)``. With that, newer versions of torch, such as 2.11, raise
    ``ValueError: betas must be either both floats or both Tensors`` before the first step. The values stay the same.

    Args:
        node: A config's ``optim_wrapper``, or any part of it. None is ignored.

    Returns:
        Number of optimizers that were changed.

    Example:
        >>> config = dict(generator=dict(optimizer=dict(type="Adam", betas=(0, 0.99))))
        >>> float_betas(config), config["generator"]["optimizer"]["betas"]
        (1, (0.0, 0.99))
    """
    if not isinstance(node, dict):
        return 0
    changed = sum(float_betas(child) for child in list(node.values()))
    betas = node.get("betas")
    if isinstance(betas, (list, tuple)) and any(isinstance(beta, int) for beta in betas):
        node["betas"] = tuple(map(float, betas))
        changed += 1
    return changed
