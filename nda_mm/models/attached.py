"""Base class that adds negatives to a stock model through module hooks."""

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
    """Base class for training a stock model with negatives, without changing the model's code.

    In your own training loop, call :meth:`attach` once and :meth:`set_step` before each forward pass. With mmengine's
    Runner, use the corresponding hook of :mod:`nda_mm.engine` instead.

    Args:
        model: Model without a distributed wrapper.
        negative: Negative that is applied to the images as the model receives them (normalized).
        seed: Seed for all random draws, combined with the iteration and the rank. Must be the same on every rank.
    """

    #: Mixed into the seed, so that other draws from the same seed are independent. The training loops use other values.
    stream: ClassVar[int]
    #: Weight of the negatives if :meth:`set_step` is not given one.
    default_weight: ClassVar[float] = 1.0

    def __init__(self, model: nn.Module, negative: Negative, seed: int) -> None:
        self.model: Any = model  # has attributes that nn.Module lacks
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
        """Remove the hooks, so that the model is as it was before :meth:`attach`."""
        for handle in self._handles:
            handle.remove()

    def set_step(self, iteration: int, weight: float | None = None) -> None:
        """Set the iteration and the weight of the next forward pass.

        Args:
            iteration: Iteration, counted from 0. Together with the seed and the rank it determines all draws.
            weight: ``w``, weight of the negatives in this step. At 0, no negatives are made. Defaults to
                :attr:`default_weight`.
        """
        self.iteration = iteration
        self.weight = self.default_weight if weight is None else weight
        self.negative.set_iteration(iteration)

    def generator(self, device: torch.device | str, stream: int | None = None) -> torch.Generator:
        """Create the random generator of this step and rank, in the same state at every call.

        Args:
            device: Device of the generator.
            stream: Stream of random numbers. A different one gives independent draws. Defaults to :attr:`stream`.
        """
        seed = mix(self.seed, self.stream if stream is None else stream, self.iteration, get_rank()) >> 1
        return torch.Generator(device).manual_seed(seed)

    @staticmethod
    def training_inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the model's inputs if it was called with ``mode='loss'``, else None."""
        if kwargs.get("mode", args[2] if len(args) > 2 else "tensor") != "loss":
            return None
        return kwargs["inputs"] if "inputs" in kwargs else args[0]


def call_without_buffer_updates(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Call a module with copies of its buffers, so that its running statistics do not change."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, buffers, args, kwargs)
