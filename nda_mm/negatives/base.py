"""Base class of all registered negatives, and how to build one from a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from ..registry import NEGATIVES, SCOPE


class Negative(nn.Module):
    """Base class of negatives: a function that makes negatives, with its settings.

    It is a module, so that it is moved and saved with its model. A subclass checks its settings when it is built, keeps
    them under the names of its arguments and implements :meth:`make`.

    Attributes:
        needs_partner: Whether each sample is combined with another one of the batch. A batch of one then raises an
            error unless ``other`` gives the partners.
        reorders_frames: Whether it changes the order of frames, so that it matters whether a clip is changed as a whole
            or in blocks.

    Example:
        >>> class UpsideDown(Negative):
        ...     def make(self, x, other, generator):
        ...         return x.flip(-2)
        >>> UpsideDown()(torch.tensor([[[[1.0], [2.0]]]])).flatten()
        tensor([2., 1.])
    """

    needs_partner: bool = False
    reorders_frames: bool = False

    def forward(self, x: Tensor, *, other: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Make a negative of every sample.

        Args:
            x: Images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)``, of any floating dtype or uint8.
            other: One partner per sample, with the shape of ``x`` but not ``x`` itself, for negatives that combine two
                samples. Defaults to another sample of the batch. Ignored by negatives that need no partner.
            generator: Random generator on the device of ``x``. Defaults to torch's default generator.

        Returns:
            A new tensor with the shape, dtype, device, memory format and value range of ``x``.
        """
        return self.make(x, other, generator)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Make the negatives that :meth:`forward` returns."""
        raise NotImplementedError(f"{type(self).__name__} must implement make")

    def parts(self) -> Iterable[Negative]:
        """Return the negatives that this one combines, if any."""
        return ()

    def set_iteration(self, iteration: int) -> None:
        """Set the training iteration, which a curriculum needs, here or among the parts.

        Args:
            iteration: Number of training steps done, from 0.
        """
        for part in self.parts():
            part.set_iteration(iteration)

    def choice(self) -> tuple[Any, ...]:
        """Return what is decided on the host for the next batch and a CUDA graph would freeze; here for the parts."""
        return tuple(part.choice() for part in self.parts())

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        """Check the image size before training, instead of failing at the first step.

        Args:
            height: Height of the images.
            width: Width of the images.
            frames: Length of the clips. Defaults to None, for images or an unknown length.

        Raises:
            ValueError: If negatives of such images cannot be made; the message says what is needed.
        """
        for part in self.parts():
            part.check_size(height, width, frames)

    def extra_repr(self) -> str:
        """Return the settings: the arguments of ``__init__`` that are also attributes."""
        names = [name for name in signature(type(self)).parameters if name in vars(self)]
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


def build_negative(config: Negative | Mapping[str, Any]) -> Negative:
    """Build a negative from a config.

    It is built in the scope of this package, whatever framework calls: ``type='Jigsaw'`` and ``type='nda_mm.Jigsaw'``
    are the same.

    Args:
        config: ``dict(type=..., **settings)``, or a negative, which is returned unchanged.

    Returns:
        The negative.

    Raises:
        TypeError: If ``config`` is neither, or its type is not a :class:`Negative`.
        KeyError: If no negative of that name is registered; the message lists the registered ones.

    Example:
        >>> build_negative(dict(type="Jigsaw", grid=4))
        Jigsaw(grid=(4, 4))
    """
    if isinstance(config, Negative):
        return config
    if not isinstance(config, Mapping) or "type" not in config:
        raise TypeError(f"a negative must be a Negative or a dict(type=..., ...), but got {config!r}")
    kind = config["type"]
    if isinstance(kind, str) and NEGATIVES.get(kind.removeprefix(f"{SCOPE}.")) is None:
        known = ", ".join(sorted(NEGATIVES.module_dict))
        raise KeyError(f"no negative is registered as {kind!r}; choose one of {known}")
    with DefaultScope.overwrite_default_scope(SCOPE):
        negative = NEGATIVES.build(dict(config))
    if not isinstance(negative, Negative):
        raise TypeError(f"type must be that of a Negative, but {kind!r} builds a {type(negative).__name__}")
    return negative
