"""What is attached to a stock model, by module hooks, to show it negatives: the step, its draws, and the undoing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from mmengine.dist import get_rank
from torch import nn
from torch.func import functional_call

from nda_mm.negatives import Negative
from nda_mm.utils.random_state import mix


class AttachedNegatives(ABC):
    """Base of what shows negatives to a stock model, whose code stays as it is.

    In your own training loop call :meth:`attach` once and :meth:`set_step` before each forward pass. With mmengine's
    Runner use the hook of the same purpose, see :mod:`nda_mm.engine`.

    Args:
        model: Unwrapped.
        negative: Makes the negatives, from images as the model gets them (normalized).
        seed: Of all draws, together with the iteration and the rank; the same on every rank.
    """

    #: Mixed into the seed, so that other draws of the same seed are independent; the training loops use others.
    stream: ClassVar[int]
    #: Weight of the negatives where :meth:`set_step` is not given one.
    default_weight: ClassVar[float] = 1.0

    def __init__(self, model: nn.Module, negative: Negative, seed: int) -> None:
        self.model: Any = model  # its parts are not those of every nn.Module
        self.negative = negative
        self.seed = seed
        self._handles: list[Any] = []
        self.set_step(0)

    @abstractmethod
    def register_hooks(self) -> list[Any]:
        """Register module hooks on the model and return their handles."""

    def attach(self) -> None:
        """Attach the negatives to the model."""
        self._handles = self.register_hooks()

    def detach(self) -> None:
        """Leave the model as it was before :meth:`attach`."""
        for handle in self._handles:
            handle.remove()

    def set_step(self, iteration: int, weight: float | None = None) -> None:
        """Set what the next forward pass needs.

        Args:
            iteration: From 0; with the seed and the rank it decides all draws.
            weight: ``w`` of this step; at 0 no negatives are made. Defaults to :attr:`default_weight`.
        """
        self.iteration = iteration
        self.weight = self.default_weight if weight is None else weight
        self.negative.set_iteration(iteration)

    def generator(self, device: torch.device | str, stream: int | None = None) -> torch.Generator:
        """Make the generator of this step's and this rank's draws, in the same state at every call.

        Args:
            device: Where it draws.
            stream: Numbers of another kind than the negatives'. Defaults to :attr:`stream`.
        """
        seed = mix(self.seed, self.stream if stream is None else stream, self.iteration, get_rank()) >> 1
        return torch.Generator(device).manual_seed(seed)

    @staticmethod
    def training_inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The inputs of a call of the model with ``mode='loss'``; None of any other call."""
        if kwargs.get("mode", args[2] if len(args) > 2 else "tensor") != "loss":
            return None
        return kwargs["inputs"] if "inputs" in kwargs else args[0]


def call_without_buffer_updates(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Call a module with copies of its buffers, so that its running statistics stay as they are."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, buffers, args, kwargs)
