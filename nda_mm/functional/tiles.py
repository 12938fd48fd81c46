"""Negatives of rearranged parts: jigsaw (tiles), stitch (halves of two images), tilemix (tiles of several), patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .checks import check_batch, check_interval, check_least_side
from .layout import Boxes, apply_boxes, spatial_view
from .sampling import draw_partners, random_integers, random_others, random_permutations


def jigsaw(x: Tensor, grid: int | tuple[int, int] = 2, *, generator: torch.Generator | None = None) -> Tensor:
    """Cut each image into tiles and put them back in another order.

    Every sample has its own permutation, never the identity, all ``n! - 1`` others equally likely; the frames of a
    clip share it. Tiles with equal content cannot be told apart: an image of one color, or a texture that repeats from
    tile to tile, is its own jigsaw and no negative of itself.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (jigsaw, 2 x 2).

    Args:
        x: The batch; any floating dtype or uint8.
        grid: Tiles in each direction, or ``(rows, columns)``; must divide the size. Defaults to 2.
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If ``grid`` is not an int or a pair of ints, or the dtype is refused.
        ValueError: If the grid has one tile or does not divide the size, or the shape is wrong.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 2, 2)
        >>> bool((jigsaw(x) == x).all())
        False
    """
    check_batch(x, generator)
    rows, columns = check_grid(grid, x.shape[-2], x.shape[-1])
    permutation = random_permutations(x.shape[0], rows * columns, device=x.device, generator=generator)
    return apply_tiles(x, permutation, (rows, columns))


def tilemix(x: Tensor, grid: int | tuple[int, int] = 2, *, generator: torch.Generator | None = None) -> Tensor:
    """Put each image together from tiles of other images, each tile at its own place.

    Every tile of every sample draws its image among the others of the batch. Where all tiles would come from one image,
    which would be real, one of them, drawn at random, takes another. Tiles with equal content cannot be told apart: a
    batch of equal images has no such negatives.

    Source:
        The negatives of Panda, AAAI 2026, made of patches from other images, each at its own place.

    Args:
        x: The batch, at least three samples; any floating dtype or uint8.
        grid: Tiles in each direction, or ``(rows, columns)``; must divide the size. Defaults to 2.
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If ``grid`` is not an int or a pair of ints, or the dtype is refused.
        ValueError: If the grid has one tile or does not divide the size, the shape is wrong, or there are fewer than
            three samples.

    Example:
        >>> x = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 2, 2)
        >>> mixed = tilemix(x)  # image 0 consists of tiles of 1 and of 2
        >>> sorted(mixed[0].unique().tolist())
        [1.0, 2.0]
    """
    check_batch(x, generator)
    rows, columns = check_grid(grid, x.shape[-2], x.shape[-1])
    batch = len(x)
    if batch < 3:
        raise ValueError(f"tilemix takes tiles of at least two other images of the batch, but the batch is {batch}")
    own = torch.arange(batch, device=x.device)[:, None]
    source = random_others(batch, rows * columns, device=x.device, generator=generator)
    in_place = torch.arange(rows * columns, device=x.device).expand(batch, -1)
    return apply_tiles(x, in_place, (rows, columns), (own + source) % batch)


def apply_tiles(x: Tensor, permutation: Tensor, grid: tuple[int, int], source: Tensor | None = None) -> Tensor:
    """Put tile ``permutation[b, k]`` of sample ``b`` at place ``k``; tiles are counted row by row.

    A tile's rows are contiguous runs of pixels, so the result is one gather of such runs: each pixel is read once and
    written once.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        permutation: ``(B, rows * columns)`` integers.
        grid: ``(rows, columns)``, which divide the size.
        source: ``(B, rows * columns)`` the sample that each tile is taken from; by default ``b`` itself.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.

    Example:
        >>> x = torch.arange(4).view(1, 1, 2, 2)
        >>> apply_tiles(x, torch.tensor([[0, 2, 1, 3]]), (2, 2)).tolist()
        [[[[0, 2], [1, 3]]]]
    """
    view, restore = spatial_view(x)
    batch, planes, height, width, inner = view.shape
    rows, columns = grid
    tile_height, tile_width = height // rows, width // columns
    runs = view.view(-1, tile_width * inner)
    # A run's number is ((plane * rows + row) * tile_height + line) * columns + column.
    if source is None:
        source = torch.arange(batch, device=x.device).view(batch, 1).expand_as(permutation)
    plane = source.view(batch, 1, rows, 1, columns) * planes + torch.arange(planes, device=x.device).view(-1, 1, 1, 1)
    plane = plane * (height * columns)
    tile = permutation // columns * (tile_height * columns) + permutation % columns
    line = torch.arange(tile_height, device=x.device).view(tile_height, 1) * columns
    index = plane + tile.view(batch, 1, rows, 1, columns) + line
    return restore(runs.index_select(0, index.view(-1)).view(view.shape))


def check_grid(grid: int | tuple[int, int], height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """``grid`` as ``(rows, columns)`` with more than one tile, dividing ``height`` and ``width`` where these are given.

    Raises:
        TypeError: If ``grid`` is neither an int nor a pair of ints.
        ValueError: If it has fewer than 2 tiles or does not divide the size; the message names the grids that would.
    """
    pair = (grid, grid) if isinstance(grid, int) else grid
    if not isinstance(pair, (tuple, list)) or [type(count) for count in pair] != [int, int]:
        raise TypeError(f"grid must be an int or a pair (rows, columns) of ints, but got {grid!r}")
    rows, columns = pair
    if rows < 1 or columns < 1 or rows * columns < 2:
        raise ValueError(f"a jigsaw needs at least 2 tiles, but got grid {grid!r}; use for example grid=2 or (1, 2)")
    for count, size, name in ((rows, height, "height"), (columns, width, "width")):
        if size is not None and size % count:
            fitting = [divisor for divisor in range(1, size + 1) if size % divisor == 0]
            raise ValueError(f"a grid of {rows} x {columns} does not divide {name} {size}, which these do: {fitting}")
    return rows, columns


def stitch(x: Tensor, *, other: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Join one half of each image with the other half of another image.

    Every sample draws for itself whether the cut runs across (top and bottom) or down (left and right) and which half
    is its own, four cases with equal chance. At an odd size the second half, lower or right, is larger by one.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (stitching).

    Args:
        x: The batch, at least two samples; any floating dtype or uint8.
        other: One partner for every sample, shaped as ``x`` and not ``x`` itself; by default another sample of the
            batch, never its own (see :func:`~nda_mm.functional.sampling.random_partners`). Images joined with equal
            ones stay what they are and are not negatives.
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is refused.
        ValueError: If there is one sample and no ``other``, ``other`` does not fit or is ``x``, or a side is shorter
            than 2.

    Example:
        >>> x = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
        >>> stitch(x).mean((1, 2, 3)).tolist()
        [0.5, 0.5]
    """
    check_batch(x, generator)
    check_least_side(x.shape[-2], x.shape[-1], 2, "stitch")
    partner = draw_partners(x, other, "stitch", generator)
    case = torch.randint(4, (len(x),), device=x.device, generator=generator)
    return apply_boxes(x, half_boxes(case, x.shape[-2], x.shape[-1]), partner)


def half_boxes(case: Tensor, height: int, width: int) -> Boxes:
    """The half that comes from the partner: case 0 the upper, 1 the lower, 2 the left, 3 the right one.

    Args:
        case: ``(B,)`` integers in ``[0, 4)``.
        height: Rows of the images.
        width: Columns of the images.

    Returns:
        One box a sample.
    """
    return Boxes(
        top=(case == 1) * (height // 2),
        bottom=height - (case == 0) * (height - height // 2),
        left=(case == 3) * (width // 2),
        right=width - (case == 2) * (width - width // 2),
    )


def patches(
    x: Tensor, size: tuple[float, float] = (16 / 224, 72 / 224), *, generator: torch.Generator | None = None
) -> Tensor:
    """Tile each image with square crops taken from random places of itself.

    Every sample draws the side of its patches, and each patch its place, uniform over the image; patches may overlap.
    The first one is never taken from where it is put, so that no image is rebuilt. What is left of the image is its
    texture. An image of one color is its own negative.

    Source:
        Ge et al., "Robust Contrastive Learning Using Negative Samples with Diminished Semantics", NeurIPS 2021,
        https://arxiv.org/abs/2110.14189 (patch-based negatives: sides of 16 to 72 of 224 pixels).

    Args:
        x: The batch; any floating dtype or uint8.
        size: Bounds of the side as a share of the short side of the image, within ``[1/64, 1/2]``. Defaults to
            (16 / 224, 72 / 224). Never below 2 pixels.
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out; all frames of a clip share the places.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is refused or ``size`` is not a pair of numbers.
        ValueError: If ``size`` is out of its range, or a side of the images is below 4 pixels.

    Example:
        >>> x = torch.arange(64.0).view(1, 1, 8, 8)
        >>> made = patches(x, size=(0.5, 0.5))  # four patches of 4 x 4
        >>> steps = made[0, 0, 1:4] - made[0, 0, :3]  # within a patch, rows follow each other as in the image
        >>> steps.unique().tolist()
        [8.0]
    """
    check_batch(x, generator)
    batch, height, width = len(x), x.shape[-2], x.shape[-1]
    least, most = check_patch_sides(size, height, width)
    side = random_integers(least, most, batch, like=x, generator=generator)
    # As many patches as the smallest side needs, uniform over all places.
    shape, sides = (batch, -(-height // least), -(-width // least)), side.view(-1, 1, 1)
    top = (torch.rand(shape, device=x.device, generator=generator) * (height + 1 - sides)).long()
    left = (torch.rand(shape, device=x.device, generator=generator) * (width + 1 - sides)).long()
    # The first patch: any place but its own.
    across = width + 1 - side
    place = random_integers(1, (height + 1 - side) * across - 1, batch, like=x, generator=generator)
    top[:, 0, 0], left[:, 0, 0] = place // across, place % across
    return apply_patches(x, side, top, left)


def apply_patches(x: Tensor, side: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Cover each sample row by row with square patches from given places of itself; the last ones are cut off.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        side: ``(B,)`` the side of a sample's patches.
        top: ``(B, rows, columns)`` the first row of each patch, with at least as many patches as cover the image.
        left: ``(B, rows, columns)`` its first column.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    batch, planes, height, width, inner = view.shape
    sample = torch.arange(batch, device=x.device).view(-1, 1, 1)
    side = side.view(-1, 1, 1)
    row = torch.arange(height, device=x.device).view(1, -1, 1)
    column = torch.arange(width, device=x.device).view(1, 1, -1)
    patch = (sample, row // side, column // side)
    source = (top[patch] + row % side) * width + left[patch] + column % side
    index = source.view(batch, 1, -1, 1).expand(batch, planes, -1, inner)
    return restore(view.flatten(2, 3).gather(2, index).view(view.shape))


def check_patch_sides(size: tuple[float, float], height: int, width: int) -> tuple[int, int]:
    """The least and the greatest side of a patch in pixels.

    Raises:
        TypeError: If ``size`` is not a pair of numbers.
        ValueError: If ``size`` leaves [1/64, 1/2], or the short side is below 4 pixels.
    """
    low, high = check_patch_size(size)
    check_least_side(height, width, 4, "patches")
    short = min(height, width)
    least = max(2, math.floor(low * short + 0.5))
    return least, max(least, math.floor(high * short + 0.5))


def check_patch_size(size: tuple[float, float]) -> tuple[float, float]:
    """Return ``size`` as two floats, or raise TypeError or ValueError."""
    return check_interval(size, "size", 1 / 64, 0.5)
