"""Negatives of rearranged parts: jigsaw (tiles of one image) and stitch (halves of two)."""

from __future__ import annotations

import torch
from torch import Tensor

from .boxes import Boxes, apply_boxes
from .checks import check_batch, check_partner
from .layout import run_numbers, spatial_view
from .sampling import random_partners, random_permutations

#: Bytes below which gathering runs one by one costs more than blending whole images by a mask.
_SHORT_RUN = 128


def jigsaw(x: Tensor, grid: int | tuple[int, int] = 2, *, generator: torch.Generator | None = None) -> Tensor:
    """Cut each image into tiles and put them back in another order.

    Every sample has a permutation of its own, never the identity, all ``n! - 1`` others equally likely; the frames of a
    clip share it. Tiles with equal content cannot be told apart: an image of one colour, or a texture that repeats from
    tile to tile, is its own jigsaw and no negative of itself.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (jigsaw, 2 x 2).

    Args:
        x: the batch; any floating dtype or uint8.
        grid: tiles in each direction, or ``(rows, columns)``; must divide the size. Default 2.
        generator: the source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out.

    Returns:
        a new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: if ``grid`` is no int or pair of ints, or the dtype is refused.
        ValueError: if the grid has one tile or does not divide the size, or the shape is wrong.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 2, 2)
        >>> bool((jigsaw(x) == x).all())
        False
    """
    check_batch(x, generator)
    rows, columns = check_grid(grid, x.shape[-2], x.shape[-1])
    permutation = random_permutations(x.shape[0], rows * columns, device=x.device, generator=generator)
    return apply_tiles(x, permutation, (rows, columns))


def apply_tiles(x: Tensor, permutation: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put tile ``permutation[b, k]`` of sample ``b`` at place ``k``; tiles are counted row by row.

    A tile's rows are contiguous runs of pixels, so the result is one gather of such runs: each pixel is read once and
    written once.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        permutation: ``(B, rows * columns)`` integers.
        grid: ``(rows, columns)``, which divide the size.

    Returns:
        a new tensor of the shape, dtype, device and memory format of ``x``.

    Example:
        >>> x = torch.arange(4).view(1, 1, 2, 2)
        >>> apply_tiles(x, torch.tensor([[0, 2, 1, 3]]), (2, 2)).tolist()
        [[[[0, 2], [1, 3]]]]
    """
    view, restore = spatial_view(x)
    batch, planes, height, width, inner = view.shape
    rows, columns = grid
    tile_height, tile_width = height // rows, width // columns
    runs = view.view(batch * planes * height * columns, tile_width * inner)
    # A run's number is ((plane * rows + row) * tile_height + line) * columns + column.
    plane = run_numbers(len(runs), height * columns, x.device).view(batch, planes, 1, 1)
    line = run_numbers(tile_height * columns, columns, x.device).view(tile_height, 1).to(plane.dtype)
    tile = permutation % columns + permutation.div(columns, rounding_mode="floor") * (tile_height * columns)
    start = plane + tile.to(plane.dtype).view(batch, 1, rows, columns)
    index = start.view(batch, planes, rows, 1, columns) + line
    return restore(runs.index_select(0, index.view(-1)).view(view.shape))


def check_grid(grid: int | tuple[int, int], height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """``grid`` as ``(rows, columns)`` with more than one tile, dividing ``height`` and ``width`` where these are given.

    Raises:
        TypeError: if ``grid`` is neither an int nor a pair of ints.
        ValueError: if it has fewer than 2 tiles or does not divide the size; the message names the grids that would.
    """
    pair = (grid, grid) if isinstance(grid, int) else grid
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(isinstance(count, int) and not isinstance(count, bool) for count in pair)
    ):
        raise TypeError(f"grid must be an int or a pair (rows, columns) of ints, but got {grid!r}")
    rows, columns = pair
    if rows < 1 or columns < 1 or rows * columns < 2:
        raise ValueError(f"a jigsaw needs at least 2 tiles, but got grid {grid!r}; use for example grid=2 or (1, 2)")
    for count, size, name in ((rows, height, "height"), (columns, width, "width")):
        if size is not None and size % count:
            fitting = [divisor for divisor in range(1, size + 1) if size % divisor == 0]
            raise ValueError(
                f"a grid of {rows} x {columns} tiles does not divide images of {height} x {width}: {name} {size} can "
                f"be cut into {fitting} parts; choose the grid from these, or crop or resize the images"
            )
    return rows, columns


def stitch(x: Tensor, *, other: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Join one half of each image with the other half of another image.

    Every sample draws for itself whether the cut runs across (top and bottom) or down (left and right) and which half
    is its own, four cases with equal chance. At an odd size the second half, lower or right, is larger by one.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (stitching).

    Args:
        x: the batch, at least two samples; any floating dtype or uint8.
        other: one partner for every sample, shaped as ``x`` and not ``x`` itself; by default another sample of the
            batch, never its own (see :func:`~nda_mm.functional.sampling.random_partners`). Images joined with equal
            ones stay what they are and are no negatives.
        generator: the source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out.

    Returns:
        a new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: if the dtype is refused.
        ValueError: if there is one sample and no ``other``, ``other`` does not fit or is ``x``, or a side is shorter
            than 2.

    Example:
        >>> x = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
        >>> stitch(x).mean((1, 2, 3)).tolist()
        [0.5, 0.5]
    """
    check_batch(x, generator)
    check_partner(x, other, "stitch")
    check_halves(x.shape[-2], x.shape[-1])
    batch = x.shape[0]
    partners = None if other is not None else random_partners(batch, device=x.device, generator=generator)
    case = torch.randint(4, (batch,), device=x.device, generator=generator)
    return apply_halves(x, case, partners, other)


def check_halves(height: int, width: int) -> None:
    """Refuse images that cannot be halved.

    Raises:
        ValueError: if a side is shorter than 2.
    """
    if height < 2 or width < 2:
        raise ValueError(f"stitch halves images of at least 2 x 2 pixels, but got {height} x {width}")


def apply_halves(x: Tensor, case: Tensor, partners: Tensor | None = None, other: Tensor | None = None) -> Tensor:
    """Take one half of each sample from its partner: case 0 the upper, 1 the lower, 2 the left, 3 the right one.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``, sides of at least 2.
        case: ``(B,)`` integers in ``[0, 4)``.
        partners: ``(B,)`` the partner's place in the batch (ignored if ``other`` is given).
        other: the partners themselves, shaped as ``x``.

    Returns:
        a new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        ValueError: if neither ``partners`` nor ``other`` is given.

    Example:
        >>> x = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=torch.uint8).view(2, 1, 2, 2)
        >>> apply_halves(x, case=torch.tensor([0, 3]), partners=torch.tensor([1, 0])).flatten(1).tolist()
        [[5, 6, 3, 4], [5, 2, 7, 4]]
    """
    height, width = x.shape[-2:]
    view, restore = spatial_view(x)
    half_row = width // 2 * view.shape[-1] * x.element_size()
    if partners is None or other is not None or width % 2 or half_row < _SHORT_RUN:
        return apply_boxes(x, half_boxes(case, height, width), partners, other)
    # Of an even width both cuts keep half rows together: one gather of these reads and writes each pixel once.
    batch, planes = view.shape[:2]
    per_sample = planes * height * 2
    first = run_numbers(batch * per_sample, per_sample, x.device)
    within = run_numbers(per_sample, 1, x.device).view(planes, height, 2).to(first.dtype)
    index = first.new_empty(batch, planes, height, 2)
    side = torch.arange(2, device=x.device)
    for down, rows in enumerate((slice(None, height // 2), slice(height // 2, None))):
        from_partner = (case == down).view(batch, 1) | (case.view(batch, 1) == 2 + side)
        sample = torch.where(from_partner, first.index_select(0, partners).view(batch, 1), first.view(batch, 1))
        torch.add(within[:, rows], sample.view(batch, 1, 1, 2), out=index[:, :, rows])
    return restore(view.view(batch * per_sample, -1).index_select(0, index.view(-1)).view(view.shape))


def half_boxes(case: Tensor, height: int, width: int) -> Boxes:
    """The half that comes from the partner: case 0 the upper, 1 the lower, 2 the left, 3 the right one.

    Args:
        case: ``(B,)`` integers in ``[0, 4)``.
        height: rows of the images.
        width: columns of the images.

    Returns:
        one box a sample.
    """
    return Boxes(
        top=(case == 1) * (height // 2),
        bottom=height - (case == 0) * (height - height // 2),
        left=(case == 3) * (width // 2),
        right=width - (case == 2) * (width - width // 2),
    )
