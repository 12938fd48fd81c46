"""Networks run through ``torch.compile``, with their spectral normalisation put so that the slopes stay right."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm

__all__ = ["OutOfPlaceSpectralNorm", "compile_network"]


class OutOfPlaceSpectralNorm(SpectralNorm):
    """PyTorch's spectral normalisation by a hook, which gives its module new vectors instead of changing the old ones.

    PyTorch iterates ``u`` and ``v`` in place. Compiled (seen with 2.11), the backward pass repeats that iteration
    instead of keeping its result, but begins from the ``u`` that the forward pass has changed already: output and loss
    are right, and the weight's gradient belongs to other vectors, off by a third at the beginning of a training. What
    is never changed can be repeated. Names and values in checkpoints are the same.
    """

    def compute_weight(self, module: nn.Module, do_power_iteration: bool) -> Tensor:
        """The weight divided by its largest singular value, as far as the iterations have found it."""
        weight, u, v = (getattr(module, f"{self.name}_{end}") for end in ("orig", "u", "v"))
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with torch.no_grad():
                for _ in range(self.n_power_iterations):
                    v = F.normalize(torch.mv(matrix.t(), u), dim=0, eps=self.eps)
                    u = F.normalize(torch.mv(matrix, v), dim=0, eps=self.eps)
            setattr(module, f"{self.name}_u", u)
            setattr(module, f"{self.name}_v", v)
        return weight / torch.dot(u, torch.mv(matrix, v))


def compile_network(network: nn.Module, **options: Any) -> None:
    """Let a network run through ``torch.compile``, in place, so that its weights keep their names.

    Args:
        network: Its spectral normalisation, if it has any, is PyTorch's of ``torch.nn.utils.spectral_norm``.
        options: As ``torch.compile`` takes them.

    Raises:
        ValueError: If it has the spectral normalisation of mmagic's own, which changes its vectors in place.

    Example:
        >>> network = nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 2)))
        >>> compile_network(network, backend="eager")
        >>> network(torch.ones(1, 3)).shape
        torch.Size([1, 2])
    """
    for name, module in network.named_modules():
        if hasattr(module, "sn_weight"):
            raise ValueError(
                f"{name} of {type(network).__name__} is normalised in the manner of sn_style='ajbrock', whose "
                "gradients come out wrong when compiled; set sn_style='torch', or leave compile_networks out."
            )
        for key, hook in module._forward_pre_hooks.items():
            if type(hook) is SpectralNorm:
                changed = OutOfPlaceSpectralNorm(hook.name, hook.n_power_iterations, hook.dim, hook.eps)
                module._forward_pre_hooks[key] = changed
    network.compile(**options)
