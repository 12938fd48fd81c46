"""The operations of an iteration against a count by hand, and the device's speed against a clock of our own."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner import Runner

pytest.importorskip("mmagic")
import arithmetic
import gan_runs
from gan_ladder import LADDER


def count_by_hand(width: int, batch: int, negatives: bool) -> int:
    """Of 4 discriminator steps and a generator step of BigGAN at 32 pixels, from its layers' sizes.

    A product of an (m, k) by a (k, n) matrix is 2 m k n operations; a layer's backward pass is one such for its weights
    and one for its input, where either wants a gradient.
    """
    channels = 4 * width

    def convolution(channels_in: int, channels_out: int, kernel: int, side: int) -> int:
        return 2 * channels_in * channels_out * kernel**2 * side**2

    # Discriminator, of an image. Those that read the image itself: its first convolution at 32 pixels, and the shortcut
    # beside it, after the pooling.
    reading = convolution(3, channels, 3, 32) + convolution(3, channels, 1, 16)
    blocks = convolution(channels, channels, 3, 32)
    blocks += 2 * convolution(channels, channels, 3, 16) + convolution(channels, channels, 1, 16)
    blocks += 4 * convolution(channels, channels, 3, 8)
    blocks += 2 * channels  # the decision
    discriminator = reading + blocks
    # Generator, of an image: a linear layer to 4x4, three blocks that double the side, a convolution to RGB.
    noise = 2 * 128 * channels * 16
    convolutions = sum(
        2 * convolution(channels, channels, 3, side) + convolution(channels, channels, 1, side) for side in (8, 16, 32)
    )
    convolutions += convolution(channels, 3, 3, 32)
    generator = noise + convolutions

    images = (3 if negatives else 2) * batch
    # Nobody wants the gradient of the images that the discriminator is trained on.
    discriminator_step = images * (3 * discriminator - reading) + batch * generator
    # In the generator's step the discriminator's weights want none; nor does the noise.
    generator_step = batch * (3 * generator - noise) + batch * 2 * discriminator
    return 4 * discriminator_step + generator_step


@pytest.mark.parametrize("negatives", [False, True])
def test_operations_of_an_iteration_are_those_counted_by_hand(small, tmp_path, negatives):
    small.width, small.batch = 2, 3
    runner = gan_runs.build(LADDER[1], small, gan_runs.choose_data(small), tmp_path, negatives=negatives)
    hook = arithmetic.FlopHook(gan_runs.DISCRIMINATOR_STEPS)
    runner.register_hook(hook)
    assert isinstance(runner, Runner)
    runner.train()
    assert runner.iter == 4
    assert hook.flops == count_by_hand(2, 3, negatives)


def test_full_size_costs_with_negatives_what_the_bar_was_derived_from():
    plain, with_negatives = (count_by_hand(64, 64, negatives) for negatives in (False, True))
    assert with_negatives / plain == pytest.approx(1.32, abs=0.01)


def test_one_convolution_forward_and_backward():
    hook = arithmetic.FlopHook(1)
    layer = torch.nn.Conv2d(3, 5, 3, padding=1)
    image = torch.ones(2, 3, 7, 4)
    with hook.counter:
        layer(image).sum().backward()
    forward = 2 * (2 * 7 * 4) * 5 * (3 * 9)
    assert hook.flops == 2 * forward  # the image wants no gradient


def test_speed_is_operations_by_the_shortest_time(monkeypatch):
    ends = iter([0.0, 9.0, 10.0, 12.0, 20.0, 20.5, 30.0, 31.0])  # 9 (not counted), 2, 0.5 and 1 second
    monkeypatch.setattr(arithmetic.time, "perf_counter", lambda: next(ends))
    assert arithmetic.matmul_speed("cpu", "fp32", size=4, rounds=3) == 2 * 4**3 / 0.5


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_speed_of_a_device(device, precision):
    assert 1e6 < arithmetic.matmul_speed(device, precision, size=64) < 1e16
