"""Save, restore and seed the global random generators, and mix seeds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["RandomState", "isolated_rng", "mix", "seed_global_generators"]

_MASK = (1 << 64) - 1
#: numpy's bit generators are slow to create, so :func:`isolated_rng` reuses them. Each is seeded before it is used.
_SPARE_BIT_GENERATORS: list[np.random.MT19937] = []


def mix(*parts: int) -> int:
    """Mix integers into one 64-bit number, so that neighboring seeds and positions give unrelated streams.

    The finalizer is that of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, https://doi.org/10.1145/2660193.2660195).

    Args:
        parts: Any integers. Their order matters.

    Returns:
        An integer in [0, 2**64).

    Example:
        >>> mix(0, 1) != mix(1, 0)
        True
    """
    value = 0
    for part in parts:
        value = (value + part + 0x9E3779B97F4A7C15) & _MASK
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
        value ^= value >> 31
    return value


def seed_global_generators(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch, and that of the current CUDA device if CUDA is in use.

    ``torch.manual_seed`` is avoided, since it also initializes CUDA, which a data loading process must not do.

    Args:
        seed: An integer in [0, 2**64).
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002 -- the global one is what pipelines draw from
    torch.default_generator.manual_seed(seed)
    if _cuda_in_use():
        torch.cuda.manual_seed(seed & ((1 << 63) - 1))


@dataclass
class RandomState:
    """State of this process's global random generators.

    Attributes:
        python: State from ``random.getstate``.
        numpy: State from ``numpy.random.get_state``.
        torch: State of torch's CPU generator, a byte tensor.
        cuda: State of the current CUDA device's generator, or None while CUDA is not in use.

    Example:
        >>> state = RandomState.capture()
        >>> first = random.random(), np.random.rand(), torch.rand(()).item()
        >>> RandomState.unpack(state.pack()).restore()
        >>> first == (random.random(), np.random.rand(), torch.rand(()).item())
        True
    """

    python: tuple[Any, ...]
    numpy: tuple[Any, ...]
    torch: Tensor
    cuda: Tensor | None

    @classmethod
    def capture(cls) -> RandomState:
        """Copy the current state. Reading the CUDA generator's state does not wait for the device."""
        return cls(
            python=random.getstate(),
            numpy=np.random.get_state(legacy=True),  # type: ignore[arg-type]  # noqa: NPY002
            torch=torch.get_rng_state(),
            cuda=_cuda_state(),
        )

    def restore(self) -> None:
        """Set the generators to this state."""
        np.random.set_state(self.numpy)  # noqa: NPY002
        _restore(self.python, self.torch, self.cuda if torch.cuda.is_available() else None)

    def pack(self) -> dict[str, Any]:
        """Return the state as tensors and plain numbers, which ``torch.load(weights_only=True)`` accepts."""
        version, words, gauss = self.python
        name, keys, position, has_gauss, cached_gauss = self.numpy
        return {
            "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
            "numpy": {
                "name": str(name),
                "keys": torch.from_numpy(keys.astype(np.int64)),
                "position": int(position),
                "has_gauss": int(has_gauss),
                "cached_gauss": float(cached_gauss),
            },
            "torch": self.torch.clone(),
            "cuda": None if self.cuda is None else self.cuda.clone(),
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> RandomState:
        """Rebuild a state from the output of :meth:`pack`, whose tensors may be on any device."""
        python, numpy, cuda = packed["python"], packed["numpy"], packed["cuda"]
        return cls(
            python=(python["version"], tuple(python["words"].tolist()), python["gauss"]),
            numpy=(
                numpy["name"],
                numpy["keys"].cpu().numpy().astype(np.uint32),
                numpy["position"],
                numpy["has_gauss"],
                numpy["cached_gauss"],
            ),
            torch=packed["torch"].cpu(),
            cuda=None if cuda is None else cuda.cpu(),
        )


@contextmanager
def isolated_rng(seed: int | None = None) -> Iterator[Callable[[], RandomState]]:
    """Restore the global generators on exit, so that draws inside the context do not advance them.

    This is cheap enough to use several times per iteration. Copying numpy's state would take longer than everything
    else (150 against 20 microseconds), so its bit generator is swapped instead. numpy then drops the second value of a
    pair of normal draws, at the same places in every run.

    Args:
        seed: Seed for the draws inside the context, in [0, 2**64). Defaults to None: the caller seeds before drawing.

    Yields:
        A function that returns the state outside the context, for saving in a checkpoint.

    Example:
        >>> before = RandomState.capture()
        >>> with isolated_rng(7):
        ...     _ = torch.rand(3)
        >>> torch.equal(before.torch, RandomState.capture().torch)
        True
    """
    python, torch_state, cuda = random.getstate(), torch.get_rng_state(), _cuda_state()
    bits = np.random.get_bit_generator()
    np.random.set_bit_generator(_SPARE_BIT_GENERATORS.pop() if _SPARE_BIT_GENERATORS else np.random.MT19937(0))

    def outer_state() -> RandomState:
        state = bits.state
        numpy = (state["bit_generator"], state["state"]["key"], state["state"]["pos"], 0, 0.0)
        return RandomState(python=python, numpy=numpy, torch=torch_state, cuda=cuda)

    try:
        if seed is not None:
            seed_global_generators(seed)
        yield outer_state
    finally:
        used = np.random.get_bit_generator()
        np.random.set_bit_generator(bits)
        if isinstance(used, np.random.MT19937):
            _SPARE_BIT_GENERATORS.append(used)
        _restore(python, torch_state, cuda)


def _restore(python: tuple[Any, ...], torch_state: Tensor, cuda: Tensor | None) -> None:
    random.setstate(python)
    torch.set_rng_state(torch_state)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda)


def _cuda_state() -> Tensor | None:
    return torch.cuda.get_rng_state() if _cuda_in_use() else None


def _cuda_in_use() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()
