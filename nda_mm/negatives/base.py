"""What all registered negatives have in common, and how a config becomes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from ..registry import NEGATIVES, SCOPE


class Negative(nn.Module):
    """Settings bound to a function that makes negatives; a module, so that it moves and is saved with its model.

    A subclass checks its settings when it is built, keeps them under the names of its arguments and implements
    :meth:`make`.

    Attributes:
        needs_partner: Whether each sample is joined with another one of its batch, so that a batch of one is refused
            unless ``other`` gives the partners.
        reorders_frames: Whether it changes a clip in time, so that what a clip is matters: the whole or a block of it.

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
        """A negative of every sample.

        Args:
            x: images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)``, of any floating dtype or uint8.
            other: one partner for every sample, shaped as ``x`` and not ``x`` itself, for negatives that join two; by
                default these take another sample of the batch. Ignored by negatives that need no partner.
            generator: the source of randomness, on the device of ``x``; torch's default one if None.

        Returns:
            A new tensor of the shape, dtype, device, memory format and value range of ``x``.
        """
        return self.make(x, other, generator)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """The negatives; what :meth:`forward` returns."""
        raise NotImplementedError(f"{type(self).__name__} must implement make")

    def parts(self) -> Iterable[Negative]:
        """The negatives this one is made of; none unless it combines others."""
        return ()

    def set_iteration(self, iteration: int) -> None:
        """Set how far training is, which matters to a curriculum, here or among the parts.

        Args:
            iteration: the number of training steps done, from 0.
        """
        for part in self.parts():
            part.set_iteration(iteration)

    def choice(self) -> tuple[Any, ...]:
        """What is decided on the host for the next batch, which a CUDA graph would keep; here of the parts."""
        return tuple(part.choice() for part in self.parts())

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        """Refuse a size that cannot be served, before training instead of at its first step.

        Args:
            height: rows of the images.
            width: columns of the images.
            frames: length of the clips; None for images, or if it is not known.

        Raises:
            ValueError: If no negative of such images can be made; the message says what would do.
        """
        for part in self.parts():
            part.check_size(height, width, frames)

    def extra_repr(self) -> str:
        """The settings: those arguments of ``__init__`` that are attributes too."""
        names = [name for name in signature(type(self)).parameters if name in vars(self)]
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


def build_negative(config: Negative | Mapping[str, Any]) -> Negative:
    """The negative that a config describes.

    Inside, the registry is ours whatever framework calls: ``type='Jigsaw'`` and ``type='nda_mm.Jigsaw'`` are the same.

    Args:
        config: ``dict(type=..., **settings)``, or a negative, which is returned as it is.

    Returns:
        The negative.

    Raises:
        TypeError: If ``config`` is neither, or its type is no :class:`Negative`.
        KeyError: If no negative of that name is registered; the message lists those that are.

    Example:
        >>> build_negative(dict(type="Jigsaw", grid=4))
        Jigsaw(grid=(4, 4))
    """
    if isinstance(config, Negative):
        return config
    if not isinstance(config, Mapping) or "type" not in config:
        raise TypeError(f"expected a negative or a dict(type=..., ...), but got {config!r}")
    kind = config["type"]
    if isinstance(kind, str) and NEGATIVES.get(kind.removeprefix(f"{SCOPE}.")) is None:
        known = ", ".join(sorted(NEGATIVES.module_dict))
        raise KeyError(f"no negative is registered as {kind!r}; there are: {known}")
    with DefaultScope.overwrite_default_scope(SCOPE):
        negative = NEGATIVES.build(dict(config))
    if not isinstance(negative, Negative):
        raise TypeError(f"{kind!r} builds a {type(negative).__name__}, which is not a Negative")
    return negative
