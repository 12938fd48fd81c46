"""ResNets of every host, and checkpoints of them as each host writes them. Not a test module; see conftest.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from nda_mm.compat import apply_patches

SCOPES = {"mmpretrain": "mmpretrain", "mmdet": "mmdet", "mmaction2": "mmaction", "torchvision": "mmengine"}
HOSTS = tuple(SCOPES)
#: The backbone of the digits' recipes.
SMALL = dict(type="ResNet_CIFAR", depth=18, base_channels=16, stem_channels=16)
#: A narrow backbone of DPC.
DPC = dict(type="nda_mm.ResNet2d3d", depth=18, base_channels=4, conv1_kernel=(1, 3, 3), with_pool1=False)


class Trunk(nn.Module):
    """A torchvision ResNet without pooling and classifier."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return net.layer4(net.layer3(net.layer2(net.layer1(x))))


def build(host: str, depth: int, **settings: Any) -> nn.Module:
    """A host's ResNet, the classifier left out; torchvision's own module for torchvision."""
    apply_patches()
    if host == "torchvision":
        return getattr(torchvision.models, f"resnet{depth}")(weights=None)
    if settings.get("type") == "ResNet_CIFAR":  # mmpretrain's, which the others take too
        settings["type"] = "mmpretrain.ResNet_CIFAR"
    with DefaultScope.overwrite_default_scope(SCOPES[host]):
        return MODELS.build({"type": "ResNet", "depth": depth, **settings})


def randomize(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and running statistics that no initialization has, at a scale that keeps features near 1."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            fan_in = part.weight[0].numel()
            part.weight.data = torch.randn(part.weight.shape, generator=generator) * (1.5 / fan_in) ** 0.5
        elif isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.weight.data.uniform_(0.6, 1.4, generator=generator)
            part.bias.data.normal_(0, 0.2, generator=generator)
            part.running_mean.normal_(0, 0.2, generator=generator)
            part.running_var.uniform_(0.6, 1.4, generator=generator)
            part.num_batches_tracked.fill_(7)
    module.eval()  # returns nothing with some hosts
    return module


@torch.no_grad()
def features(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the last stage gives in eval mode."""
    module.eval()
    outputs = Trunk(module)(images) if isinstance(module, torchvision.models.ResNet) else module(images)
    return outputs[-1] if isinstance(outputs, tuple) else outputs


def images(batch: int = 2, size: int = 64) -> torch.Tensor:
    """Noise of a fixed seed."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def save(module: nn.Module, host: str, path: Path) -> Path:
    """A checkpoint as the host writes it: a whole model's, or torchvision's bare weights."""
    weights: dict[str, Any] = dict(module.state_dict())
    if host != "torchvision":
        weights = {f"backbone.{name}": value for name, value in weights.items()}
        weights = {"meta": {"epoch": 3}, "state_dict": {**weights, "head.fc.weight": torch.zeros(2, 8)}}
    torch.save(weights, path)
    return path


def load(module: nn.Module, host: str, path: Path) -> nn.Module:
    """Fill a network as the host's ``init_cfg`` does it; torchvision's strictly, but for the classifier."""
    if host == "torchvision":
        weights = torch.load(path, weights_only=True)["state_dict"]
        outcome = module.load_state_dict(weights, strict=False)
        assert set(outcome.missing_keys) == {"fc.weight", "fc.bias"} and not outcome.unexpected_keys
        return module
    module.init_cfg = dict(type="Pretrained", checkpoint=str(path))
    module.init_weights()
    return module
