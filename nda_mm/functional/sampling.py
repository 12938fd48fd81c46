"""Random draws that never leave a sample unchanged: permutations without the identity, and partners.

Everything is drawn for the whole batch at once, on its device and from the caller's generator. No value is read on the
host: a rejection loop would synchronize with the GPU at every iteration.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from .checks import check_partner
from .layout import spatial_view

#: Maximum length of permutations that are looked up in a table of all of them (8! = 40,320 rows).
_TABLE_LENGTH = 8


def random_permutations(
    batch: int, length: int, *, device: torch.device | str = "cpu", generator: torch.Generator | None = None
) -> Tensor:
    """Draw one permutation per sample, never the identity, with all others equally likely.

    Up to 8 elements, a rank is drawn from ``[1, length! - 1]`` and looked up in the table of all permutations, where
    the identity has rank 0. Beyond that, random keys are sorted. In the one case in ``length!`` where this gives the
    identity, the last 8 elements are permuted by such a draw. This is exact except for the permutations that move only
    the last 8 elements: each of them is more likely than the others by a factor of ``1 + 1 / (8! - 1)``, which is as
    fine as the resolution of the draw itself.

    Args:
        batch: Number of permutations.
        length: Number of elements, at least 2.
        device: Device to draw on. Defaults to the CPU.
        generator: Random generator on ``device``. Defaults to torch's default generator.

    Returns:
        ``(batch, length)`` int64; position ``k`` of the result takes element ``permutation[k]``.

    Example:
        >>> random_permutations(3, 2).tolist()
        [[1, 0], [1, 0], [1, 0]]
    """
    device = torch.device(device)
    if length <= _TABLE_LENGTH:
        return _permutations_that_move(batch, length, device, generator)
    # Integer keys: 32-bit floats would tie often enough on large grids to favor the original order.
    keys = torch.randint(2**62, (batch, length), device=device, generator=generator)
    tail = _permutations_that_move(batch, _TABLE_LENGTH, device, generator)
    return _move_the_unmoved(keys.argsort(dim=1), tail)


def _move_the_unmoved(permutation: Tensor, tail: Tensor) -> Tensor:
    """Return ``permutation``, with the last elements of each identity permuted by ``tail``."""
    length, moved = permutation.shape[1], tail.shape[1]
    identity = torch.arange(length, device=permutation.device)
    unmoved = (permutation == identity).all(dim=1, keepdim=True)
    end = torch.where(unmoved, tail + (length - moved), permutation[:, length - moved :])
    return torch.cat((permutation[:, : length - moved], end), dim=1)


def _permutations_that_move(batch: int, length: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    rank = torch.randint(1, math.factorial(length), (batch,), device=device, generator=generator)
    return permutation_table(length, device).index_select(0, rank)


@functools.lru_cache(maxsize=32)
def permutation_table(length: int, device: torch.device) -> Tensor:
    """Return all ``length!`` permutations in lexicographic order, the identity first; cached for each device.

    The digits of a rank in the factorial number system say which of the remaining elements comes next.

    Args:
        length: Number of elements; should be small.
        device: Device of the table, which is computed there, since a copy would synchronize with the device.

    Returns:
        ``(length!, length)`` int64.

    Example:
        >>> permutation_table(3, torch.device("cpu")).tolist()
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    """
    # A table made in inference mode could not be used in autograd later.
    with torch.inference_mode(False):
        rank = torch.arange(math.factorial(length), device=device)
        table = torch.zeros(len(rank), length, dtype=torch.int64, device=device)
        for place in range(length - 2, -1, -1):
            digit = rank // math.factorial(length - 1 - place) % (length - place)
            # The rest counts the elements without this one: those from `digit` on move up to make room.
            rest = table[:, place + 1 :]
            rest += (rest >= digit[:, None]).long()
            table[:, place] = digit
        return table


def random_partners(
    batch: int, *, device: torch.device | str = "cpu", generator: torch.Generator | None = None
) -> Tensor:
    """Draw another sample of the batch for every sample, using each one once: a derangement.

    The samples are put in random order and each takes the next one, the last one the first. This is uniform over the
    permutations that consist of a single cycle, and every pair (sample, partner) is equally likely; derangements of
    several cycles do not occur. Such a permutation has no fixed points, so nothing needs to be rejected.

    Args:
        batch: Number of samples, at least 2.
        device: Device to draw on. Defaults to the CPU.
        generator: Random generator on ``device``. Defaults to torch's default generator.

    Returns:
        ``(batch,)`` int64; the partner of sample ``i`` is sample ``partners[i]``.

    Raises:
        ValueError: If ``batch`` is below 2.

    Example:
        >>> random_partners(2).tolist()
        [1, 0]
    """
    if batch < 2:
        raise ValueError(f"batch must be at least 2 for samples to have partners, but got {batch}")
    order = torch.randperm(batch, device=device, generator=generator)
    return torch.empty_like(order).scatter_(0, order, order.roll(-1))


def random_others(
    batch: int, count: int, *, device: torch.device | str = "cpu", generator: torch.Generator | None = None
) -> Tensor:
    """Draw ``count`` other samples of the batch for every sample, not all of them the same.

    All are drawn independently. If they are all equal, one of them, chosen at random, is replaced by a different one.

    Args:
        batch: Number of samples, at least 3.
        count: Number of other samples for each sample, at least 2.
        device: Device to draw on. Defaults to the CPU.
        generator: Random generator on ``device``. Defaults to torch's default generator.

    Returns:
        ``(batch, count)`` int64 distances in ``[1, batch - 1]``: sample ``i`` gets sample ``(i + distance) % batch``.

    Example:
        >>> random_others(3, 2).sort(dim=1).values.tolist()
        [[1, 2], [1, 2], [1, 2]]
    """
    distance = torch.randint(1, batch, (batch, count), device=device, generator=generator)
    turn = torch.randint(1, batch - 1, (batch, 1), device=device, generator=generator)
    place = torch.randint(count, (batch, 1), device=device, generator=generator)
    other = (distance[:, :1] - 1 + turn) % (batch - 1) + 1
    equal = (distance == distance[:, :1]).all(dim=1, keepdim=True)
    here = torch.arange(count, device=distance.device) == place
    return torch.where(equal & here, other, distance)


def draw_partners(x: Tensor, other: Tensor | None, name: str, generator: torch.Generator | None) -> Tensor:
    """Return ``other`` if it is given, else one partner per sample from :func:`random_partners`.

    Raises:
        TypeError, ValueError: See :func:`~nda_mm.functional.checks.check_partner`, which gets ``name``.
    """
    check_partner(x, other, name)
    if other is not None:
        return other
    view, restore = spatial_view(x)  # index_select would lose the memory format
    return restore(view.index_select(0, random_partners(len(x), device=x.device, generator=generator)))


def random_integers(
    low: int | Tensor, high: int | Tensor, batch: int, *, like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Draw one integer per sample, uniform in ``[low, high]``, where both bounds may differ per sample.

    Args:
        low: Minimum (inclusive), an int or ``(batch,)``.
        high: Maximum (inclusive), an int or ``(batch,)``, below ``2**24``.
        batch: Number of draws.
        like: Tensor on the device to draw on.
        generator: Random generator, or None for torch's default generator.

    Returns:
        ``(batch,)`` int64.
    """
    if isinstance(low, int) and isinstance(high, int):
        return torch.randint(low, high + 1, (batch,), device=like.device, generator=generator)
    # torch.rand is at most 1 - 2**-24, so its product with a count below 2**24 is always below the count.
    uniform = torch.rand(batch, device=like.device, generator=generator)
    return (uniform * (high - low + 1)).long() + low


def random_beta(
    concentration: float,
    batch: int,
    *,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw from the symmetric beta distribution, with two uniform draws each and without rejection.

    torch's own ``Beta`` does not accept a generator. A Student t variable ``t`` with ``2a`` degrees of freedom gives
    ``1/2 + t / (2 sqrt(2a + t^2)) ~ Beta(a, a)``, and ``t^2 = 2a (u^(-1/a) - 1) cos^2(2 pi v)`` gives ``t`` from two
    uniform draws ``u`` and ``v``.

    Source:
        L. Devroye, "Random variate generation in one line of code", Winter Simulation Conference 1996 (symmetric beta).

    Args:
        concentration: ``a`` of Beta(a, a), positive; large values concentrate the draws around 1/2.
        batch: Number of draws.
        device: Device to draw on. Defaults to the CPU.
        generator: Random generator on ``device``. Defaults to torch's default generator.

    Returns:
        ``(batch,)`` float32 in ``[0, 1]``.

    Example:
        >>> draws = random_beta(25.0, 1000, generator=torch.Generator().manual_seed(0))
        >>> bool((draws - 0.5).abs().max() < 0.3)
        True
    """
    if concentration == 1:  # the uniform distribution, at a fraction of the cost
        return torch.rand(batch, device=device, generator=generator)
    first, second = torch.rand(2, batch, device=device, generator=generator)
    # 1 - u lies in (0, 1]; its logarithm keeps the digits that u^(-1/a) - 1 loses for a large `a`.
    radius = torch.expm1(torch.log1p(-first) / -concentration).sqrt()
    return 0.5 + 0.5 * torch.sin(torch.atan(radius * torch.cos(2 * math.pi * second)))
