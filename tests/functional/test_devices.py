"""The functions on a CPU and on a GPU: equal draws, equal results; a generator of the device's own; no wait for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_devices import DrawsOfTheCPU, nothing_waits
from torch import Tensor

from nda_mm import functional as F
from nda_mm.functional import boxes, erasing, geometry, mixing, temporal, tiles
from nda_mm.functional.differentiable import diff_augment

DTYPES = [torch.float16, torch.float32, torch.uint8]
BOXES = boxes.Boxes(*torch.tensor([[0, 1, 2], [3, 5, 4], [1, 0, 2], [4, 4, 4]]))
PARTNERS = torch.tensor([1, 2, 0])
Move = Callable[[Tensor], Tensor]
APPLY: dict[str, Callable[[Tensor, Move], Tensor]] = {
    "tiles": lambda x, to: tiles.apply_tiles(x, to(torch.tensor([[1, 0, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3]])), (2, 2)),
    "halves": lambda x, to: tiles.apply_halves(x, to(torch.tensor([0, 2, 3])), to(PARTNERS)),
    "blend": lambda x, to: mixing.apply_blend(x, to(torch.tensor([0.25, 0.5, 0.75])), to(PARTNERS)),
    "boxes": lambda x, to: boxes.apply_boxes(x, boxes.Boxes(*map(to, BOXES)), to(PARTNERS)),
    "cutout": lambda x, to: erasing.apply_cutout(x, boxes.Boxes(*map(to, BOXES))),
    "rotation": lambda x, to: geometry.apply_rotation(x, to(torch.tensor([45.0, 90.0, 200.0]))),
    "shift": lambda x, to: geometry.apply_shift(x, to(torch.tensor([1, 2, 3])), to(torch.tensor([3, 2, 1]))),
    "order": lambda x, to: temporal.apply_order(x, to(torch.tensor([[1, 0], [1, 0], [0, 1]]))),
}


def batch(dtype: torch.dtype = torch.float32, size: int = 6) -> Tensor:
    x = torch.rand(3, 2, 4, size, size, generator=torch.Generator().manual_seed(0)) * 255
    return x.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", APPLY)
@pytest.mark.parametrize("channels_last", [False, True])
def test_equal_draws_give_the_results_of_the_cpu(
    device: str, name: str, dtype: torch.dtype, channels_last: bool
) -> None:
    x = batch(dtype)
    expected = APPLY[name](x, lambda draws: draws)
    x = x.to(device)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    result = APPLY[name](x, lambda draws: draws.to(device))
    assert result.stride() == x.stride()
    assert result.device.type == device
    # Interpolation and means are rounded in another order; a selection of pixels must be exact.
    steps = {torch.float64: 1e-9, torch.float32: 1e-3, torch.uint8: 1}.get(dtype, 2.0)
    tolerance = steps if name in ("blend", "cutout", "rotation") else 0
    assert (result.cpu().double() - expected.double()).abs().max() <= tolerance


@pytest.mark.parametrize("name", sorted(F.__all__))
def test_the_generator_of_the_device_is_honoured(device: str, name: str) -> None:
    x = batch(size=16).to(device)
    generator = torch.Generator(device).manual_seed(1)
    first, second = (getattr(F, name)(x, generator=generator) for _ in range(2))
    again = getattr(F, name)(x, generator=torch.Generator(device).manual_seed(1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not (first == x).flatten(1).all(dim=1).any()
    if device != "cpu":
        with pytest.raises(ValueError, match="generator is on cpu"):
            getattr(F, name)(x, generator=torch.Generator())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_augmentation_and_its_gradient_are_those_of_the_cpu(device: str, dtype: torch.dtype) -> None:
    results = []
    for where in ("cpu", device):
        x = (batch(dtype, size=16)[:, :, 0] / 128 - 1).to(where).requires_grad_()
        with DrawsOfTheCPU():
            changed = diff_augment(x)
        changed.square().sum().backward()
        assert x.grad is not None
        results.append((changed.detach().cpu(), x.grad.cpu()))
    for ours, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*sorted(F.__all__), "diff_augment"])
def test_nothing_waits_for_the_device(device: str, name: str) -> None:
    function = diff_augment if name == "diff_augment" else getattr(F, name)
    x = batch(size=16)[:, :, 0].to(device) if name == "diff_augment" else batch(size=16).to(device)
    function(x)  # constants are made once
    with nothing_waits(device):
        function(x)


def test_what_waits_is_told(device: str) -> None:
    x = torch.arange(4, device=device)
    for look in (lambda: x[0].item(), lambda: x.nonzero(), lambda: x[x > 1], lambda: bool((x > 1).any())):
        with pytest.raises(RuntimeError), nothing_waits(device):
            look()
    with nothing_waits(device):
        assert x[x.flip(0)].shape == (4,)
