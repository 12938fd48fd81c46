"""The 32x32 BigGAN of the paper's authors, written anew from its description, in their layout of names. Not a test.

Spectral norm in their manner: one vector ``u0``, one iteration at every pass, in ``eval`` mode too, where its
outcome is not kept.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


class Spectral(nn.Module):
    """A weight of any shape, divided by the estimate of its largest singular value."""

    def __init__(self, *shape: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape) / math.sqrt(math.prod(shape[1:])))
        self.bias = nn.Parameter(0.1 * torch.randn(shape[0])) if bias else None
        self.register_buffer("u0", torch.randn(1, shape[0]))
        self.register_buffer("sv0", torch.ones(1))

    def normalized(self) -> Tensor:
        matrix = self.weight.reshape(len(self.weight), -1)
        with torch.no_grad():
            right = unit(matrix.t() @ self.u0[0])
            left = unit(matrix @ right)
            if self.training:
                self.u0.copy_(left[None])
                self.sv0.fill_(float(left @ matrix @ right))
        return self.weight / (left @ matrix @ right)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.ndim == 4:
            return F.conv2d(x, self.normalized(), self.bias, padding=self.weight.shape[-1] // 2)
        return F.linear(x, self.normalized(), self.bias)


class Norm(nn.Module):
    """Batch normalization by stored statistics; gain and bias are of the class, or (``num_classes=0``) of the layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("stored_mean", 0.3 * torch.randn(channels))
        self.register_buffer("stored_var", torch.rand(channels) + 0.5)
        if num_classes:
            self.gain, self.bias = nn.Embedding(num_classes, channels), nn.Embedding(num_classes, channels)
        else:
            self.gain, self.bias = nn.Parameter(torch.randn(channels)), nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        mean, var = (s[:, None, None] for s in (self.stored_mean, self.stored_var))
        if self.training:
            mean, var = x.mean((0, 2, 3))[:, None, None], x.var((0, 2, 3), unbiased=False)[:, None, None]
        x = (x - mean) / (var + 1e-5).sqrt()
        if isinstance(self.gain, nn.Embedding):
            return x * (1 + self.gain(y))[:, :, None, None] + self.bias(y)[:, :, None, None]
        return x * self.gain[:, None, None] + self.bias[:, None, None]


class GeneratorBlock(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (Spectral(channels, channels, 3, 3) for _ in range(2))
        self.conv_sc = Spectral(channels, channels, 1, 1)
        self.bn1, self.bn2 = (Norm(channels, num_classes) for _ in range(2))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        def twice(images: Tensor) -> Tensor:
            return images.repeat_interleave(2, -1).repeat_interleave(2, -2)

        inner = self.conv1(twice(self.bn1(x, y).relu()))
        return self.conv2(self.bn2(inner, y).relu()) + self.conv_sc(twice(x))


class Generator(nn.Module):
    def __init__(self, width: int, num_classes: int, noise_size: int) -> None:
        super().__init__()
        channels = 4 * width
        self.linear = Spectral(16 * channels, noise_size)
        self.blocks = nn.ModuleList(nn.ModuleList([GeneratorBlock(channels, num_classes)]) for _ in range(3))
        self.output_layer = nn.Sequential(Norm(channels, 0), nn.ReLU(), Spectral(3, channels, 3, 3))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.linear(z).reshape(len(z), -1, 4, 4)
        for (block,) in self.blocks:
            x = block(x, y)
        norm, _, conv = self.output_layer
        return conv(norm(x, y).relu()).tanh()


class DiscriminatorBlock(nn.Module):
    def __init__(self, inputs: int, channels: int, first: bool, shrinks: bool) -> None:
        super().__init__()
        self.first, self.shrinks = first, shrinks
        self.conv1, self.conv2 = Spectral(channels, inputs, 3, 3), Spectral(channels, channels, 3, 3)
        if shrinks:
            self.conv_sc = Spectral(channels, inputs, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv2(self.conv1(x if self.first else x.relu()).relu())
        if not self.shrinks:
            return inner + x
        # the mean of four pixels and a 1x1 convolution may change places
        return F.avg_pool2d(inner, 2) + self.conv_sc(F.avg_pool2d(x, 2))


class Discriminator(nn.Module):
    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        channels = 4 * width
        self.blocks = nn.ModuleList(
            nn.ModuleList([DiscriminatorBlock(channels if number else 3, channels, number == 0, number < 2)])
            for number in range(4)
        )
        self.linear = Spectral(1, channels)
        self.embed = Spectral(num_classes, channels, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        for (block,) in self.blocks:
            x = block(x)
        features = x.relu().sum((2, 3))
        return self.linear(features) + (self.embed.normalized()[y] * features).sum(1, keepdim=True)


def networks(width: int, num_classes: int, noise_size: int = 24, seed: int = 0) -> dict[str, Any]:
    """A generator, a discriminator, and inputs for both; the caller's random numbers go on undisturbed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return dict(
            G=Generator(width, num_classes, noise_size).eval(),
            D=Discriminator(width, num_classes).eval(),
            z=torch.randn(6, noise_size),
            y=torch.randint(num_classes, (6,)),
            x=torch.rand(6, 3, 32, 32) * 2 - 1,
        )
