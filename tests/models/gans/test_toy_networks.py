"""Networks of points: what they compute, and that they train as any GAN of mmagic does."""

from __future__ import annotations

import pytest
import torch

from nda_mm.models.gans.toy_networks import PointDiscriminator, PointGenerator


def by_hand(layers: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    linear = [layer for layer in layers if hasattr(layer, "weight")]
    for layer in linear[:-1]:
        x = x @ layer.weight.T + layer.bias
        x = torch.where(x > 0, x, 0.2 * x)
    return x @ linear[-1].weight.T + linear[-1].bias


@pytest.mark.parametrize("depth", [1, 3])
def test_they_are_multiplications_with_leaky_rectifiers_in_between(depth: int) -> None:
    torch.manual_seed(0)
    noise, points = torch.randn(5, 3), torch.randn(5, 1, 1, 2)
    generator = PointGenerator(noise_size=3, width=7, depth=depth)
    discriminator = PointDiscriminator(width=7, depth=depth)
    torch.testing.assert_close(generator(noise).reshape(5, 2), by_hand(generator.layers, noise))
    torch.testing.assert_close(discriminator(points), by_hand(discriminator.layers, points.reshape(5, 2)))
    both = generator(noise, return_noise=True)
    assert torch.equal(both["noise_batch"], noise) and torch.equal(both["fake_img"], generator(noise))
    assert sum(p.numel() for p in generator.parameters()) == 3 * 7 + 7 + (depth - 1) * (49 + 7) + 7 * 2 + 2
