"""Differentiable augmentation against its definition, one image and one pixel at a time."""

from __future__ import annotations

import pytest
import torch
from tiny_devices import DrawsOfTheCPU, nothing_waits
from tiny_pixels import seeded

from nda_mm.functional.differentiable import check_policy, diff_augment


def images(batch: int = 6, height: int = 8, width: int = 12) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=seeded(1), dtype=torch.float64) + 0.1


def test_color_is_brightness_then_saturation_then_contrast():
    x = images()
    found = diff_augment(x, ["color"], generator=seeded())
    draws = torch.rand(3, len(x), generator=seeded(), dtype=torch.float64)
    for i, image in enumerate(x):
        brighter = image + draws[0, i] - 0.5
        gray = brighter.mean(0)
        saturated = torch.stack([(plane - gray) * 2 * draws[1, i] + gray for plane in brighter])
        level = saturated.mean()
        torch.testing.assert_close(found[i], (saturated - level) * (draws[2, i] + 0.5) + level)


def test_translation_moves_by_up_to_an_eighth_and_fills_with_zeros():
    x = images(batch=150)
    found = diff_augment(x, ["translation"], generator=seeded())
    # Every place of an 8x12 window on the images with a margin of zeros.
    windows = torch.nn.functional.pad(x, (4, 4, 3, 3)).unfold(2, 8, 1).unfold(3, 12, 1)
    fits = (windows == found[:, :, None, None]).all(dim=5).all(dim=4).all(dim=1)
    assert (fits.sum(dim=(1, 2)) == 1).all()
    seen = {(3 - top, 4 - left) for _, top, left in fits.nonzero().tolist()}
    assert seen == {(down, right) for down in (-1, 0, 1) for right in (-2, -1, 0, 1, 2)}


def test_cutout_is_half_the_side_with_its_centre_anywhere():
    x = images(batch=100)
    found = diff_augment(x, ["cutout"], generator=seeded())
    corners = set()
    for image, cut in zip(x, found):
        zero = (cut == 0).all(0)
        assert torch.equal(cut[:, ~zero], image[:, ~zero])
        rows, columns = zero.any(1).nonzero().flatten(), zero.any(0).nonzero().flatten()
        assert zero[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # a rectangle without holes
        assert 2 <= len(rows) <= 4 and 3 <= len(columns) <= 6  # less than half where it leaves the image
        corners.add((int(rows[0]), int(columns[0])))
    assert (0, 0) in corners and max(corner[0] for corner in corners) == 6


def test_gradients_flow():
    x = images(2, 4, 4).requires_grad_()
    torch.autograd.gradcheck(lambda y: diff_augment(y, generator=seeded()), (x,))


def test_policies_have_one_order_and_what_is_wrong_is_refused():
    assert check_policy(["cutout", "color"]) == ("color", "cutout")
    for policy in (["hue"], ["color", "color"], []):
        with pytest.raises(ValueError, match="policy"):
            diff_augment(images(), policy)
    with pytest.raises(TypeError, match="x must be"):
        diff_augment((images() * 255).to(torch.uint8))


def test_images_and_gradients_are_those_of_the_cpu_without_a_wait(device):
    results = []
    for where in ("cpu", device):
        x = images().float().to(where).requires_grad_()
        with DrawsOfTheCPU():
            changed = diff_augment(x)
        changed.square().sum().backward()
        results.append((changed.detach().cpu(), x.grad.cpu()))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
    with nothing_waits(device):
        diff_augment(x.detach())
