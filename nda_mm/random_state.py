"""The global random generators: their state captured, restored, seeded, and kept in a checkpoint as plain tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor


def seed_global_generators(seed: int) -> None:
    """Seed python's, numpy's and torch's global generators, and the current CUDA device's where CUDA is already in use.

    ``torch.manual_seed`` is avoided on purpose: it also reaches for CUDA, which a data loading process must not.

    Args:
        seed: Any integer in [0, 2**64).
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002 -- the global one is what pipelines draw from
    torch.default_generator.manual_seed(seed)
    if _cuda_in_use():
        torch.cuda.manual_seed(seed & ((1 << 63) - 1))


@dataclass
class RandomState:
    """What the global generators of this process would draw next.

    Attributes:
        python: From ``random.getstate``.
        numpy: From ``numpy.random.get_state``.
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
        """Copy the states of the generators. Reading the CUDA generator's state does not wait for the device."""
        return cls(
            python=random.getstate(),
            numpy=np.random.get_state(legacy=True),  # type: ignore[arg-type]  # noqa: NPY002
            torch=torch.get_rng_state(),
            cuda=torch.cuda.get_rng_state() if _cuda_in_use() else None,
        )

    def restore(self) -> None:
        """Put the generators back to this state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.set_rng_state(self.torch)
        if self.cuda is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.cuda)

    def pack(self) -> dict[str, Any]:
        """As tensors and plain numbers, which ``torch.load(weights_only=True)`` accepts."""
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
        """From :meth:`pack`; tensors that a checkpoint's loading moved to another device are brought back."""
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


class SetAside:
    """The generators' states, kept while others draw; cheap enough for several times an iteration.

    Copying numpy's state in and out takes longer than all the rest (150 against 20 microseconds), so its bit generator
    is exchanged for a spare one instead. numpy then forgets the second number of a pair of normal ones; since every
    iteration sets the generators aside, it forgets at the same places in every run.

    Example:
        >>> expected = RandomState.capture()
        >>> kept = SetAside()
        >>> seed_global_generators(3)
        >>> kept.restore()
        >>> torch.equal(RandomState.capture().torch, expected.torch)
        True
    """

    #: Making a bit generator is slow; those not in use wait here. None of them means anything.
    _spare: ClassVar[list[np.random.MT19937]] = []

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_bit_generator()
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state() if _cuda_in_use() else None
        np.random.set_bit_generator(self._spare.pop() if self._spare else np.random.MT19937(0))

    def state(self) -> RandomState:
        """What was set aside, for a checkpoint."""
        numpy = self._numpy.state
        return RandomState(
            python=self._python,
            numpy=(numpy["bit_generator"], numpy["state"]["key"], numpy["state"]["pos"], 0, 0.0),
            torch=self._torch,
            cuda=self._cuda,
        )

    def restore(self) -> None:
        """Let the generators go on from where they were; to be called once."""
        used = np.random.get_bit_generator()
        np.random.set_bit_generator(self._numpy)
        if isinstance(used, np.random.MT19937):
            self._spare.append(used)
        random.setstate(self._python)
        torch.set_rng_state(self._torch)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda)


@contextmanager
def random_numbers_from(seed: int) -> Iterator[None]:
    """Inside, the global generators draw from ``seed``; afterwards they go on as if nothing had been drawn.

    Args:
        seed: Any integer in [0, 2**64).

    Example:
        >>> before = RandomState.capture()
        >>> with random_numbers_from(7):
        ...     _ = torch.rand(3)
        >>> torch.equal(before.torch, RandomState.capture().torch)
        True
    """
    kept = SetAside()
    seed_global_generators(seed)
    try:
        yield
    finally:
        kept.restore()


def _cuda_in_use() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()
