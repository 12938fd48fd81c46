"""Differentiable augmentation against its definition, one image and one pixel at a time."""

from __future__ import annotations

import pytest
import torch
from tiny_devices import DrawsOfTheCPU, nothing_waits

from nda_mm.functional import differentiable
from nda_mm.functional.differentiable import POLICIES, check_policy, diff_augment


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(batch: int = 6, height: int = 8, width: int = 12) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=seeded(1), dtype=torch.float64) + 0.1


def test_colour_is_brightness_then_saturation_then_contrast():
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
    x, seen = images(batch=400), set()
    found = diff_augment(x, ["translation"], generator=seeded())
    for image, moved in zip(x, found):
        fits = []
        for down in range(-3, 4):
            for right in range(-4, 5):
                padded = torch.nn.functional.pad(image, (4, 4, 3, 3))
                expected = padded[:, 3 - down : 11 - down, 4 - right : 16 - right]
                if torch.equal(expected, moved):
                    fits.append((down, right))
            if fits:
                break
        assert len(fits) == 1
        seen.add(fits[0])
    assert seen == {(down, right) for down in (-1, 0, 1) for right in (-2, -1, 0, 1, 2)}


def test_cutout_is_half_the_side_with_its_centre_anywhere():
    x = images(batch=300)
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


def test_each_image_draws_for_itself_and_a_generator_repeats():
    x = images(1).expand(5, -1, -1, -1)
    found = diff_augment(x, generator=seeded())
    assert len({image.sum().item() for image in found}) == 5
    assert torch.equal(found, diff_augment(x, generator=seeded()))


@pytest.mark.parametrize("policy", [*([name] for name in POLICIES), list(POLICIES)])
def test_gradients_flow(policy):
    x = images(2, 4, 4).requires_grad_()
    torch.autograd.gradcheck(lambda y: diff_augment(y, policy, generator=seeded()), (x,))


def test_policies_have_one_order(monkeypatch):
    assert check_policy(["cutout", "color"]) == ("color", "cutout")
    called = []
    for name in POLICIES:
        monkeypatch.setitem(differentiable._AUGMENTATIONS, name, lambda x, g, name=name: called.append(name) or x)
    diff_augment(images(), ["translation", "cutout", "color"])
    assert called == ["color", "translation", "cutout"]


def test_what_is_wrong_is_refused():
    with pytest.raises(ValueError, match="policy"):
        diff_augment(images(), ["hue"])
    with pytest.raises(ValueError, match="each once"):
        diff_augment(images(), ["color", "color"])
    with pytest.raises(TypeError, match="floating-point images"):
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
