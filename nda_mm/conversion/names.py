"""What the same layer is called by the hosts.

The plain names, into which everything is translated first, are torchvision's, which mmpretrain's and mmdet's ResNets
share: ``conv1.weight``, ``bn1.bias``, ``layer1.0.downsample.0.weight``. Others differ thus:

=====================  ==================================  ================================
model                  its name                            the plain name
=====================  ==================================  ================================
mmaction2 ResNet       ``layer1.0.conv2.conv.weight``      ``layer1.0.conv2.weight``
mmaction2 ResNet       ``layer1.0.conv2.bn.weight``        ``layer1.0.bn2.weight``
mmaction2 ResNet       ``layer2.0.downsample.conv.weight`` ``layer2.0.downsample.0.weight``
mmaction2 ResNetTSM    ``layer1.0.conv1.conv.net.weight``  ``layer1.0.conv1.weight``
mmdet, deep stem       ``stem.3.weight``, ``stem.4.bias``  ``stem.1.conv.weight``, ``stem.1.bn.bias``
mmdet ResNetV1d        ``layer1.0.downsample.1.weight``    ``layer1.0.downsample.0.weight``
=====================  ==================================  ================================

The last: where shortcuts pool before they convolve, mmdet puts a pooling layer into the first stage too, of stride 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

#: What a deep stem of mmdet's has in a row for each of its three layers: convolution, normalisation, activation.
_STEM_PARTS = ("conv", "bn", None)
_FIRST_SHORTCUT = "layer1.0.downsample."

_TO_PLAIN: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(^|\.)(?:net|block)\."), r"\1"),  # what mmaction2, and nda_mm.ShiftedBackbone, shift in time
    (re.compile(r"(^|\.)conv(\d)\.conv\."), r"\1conv\2."),
    (re.compile(r"(^|\.)conv(\d)\.bn\."), r"\1bn\2."),
    (re.compile(r"\.downsample\.conv\."), ".downsample.0."),
    (re.compile(r"\.downsample\.bn\."), ".downsample.1."),
    (re.compile(r"^stem\.(\d)\.(?=[a-z_]+$)"), lambda match: _stem_layer(int(match[1]))),
)
_TO_MMACTION: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(^|\.)conv(\d)\."), r"\1conv\2.conv."),
    (re.compile(r"(^|\.)bn(\d)\."), r"\1conv\2.bn."),
    (re.compile(r"\.downsample\.0\."), ".downsample.conv."),
    (re.compile(r"\.downsample\.1\."), ".downsample.bn."),
)


def to_plain(name: str) -> str:
    """The plain name of a backbone's tensor.

    Args:
        name: As any of the hosts calls it, without a prefix such as ``backbone.``.

    Returns:
        As torchvision calls it; what no ResNet has is left as it is.

    Example:
        >>> to_plain("layer1.0.conv1.bn.running_mean"), to_plain("layer2.0.downsample.conv.weight")
        ('layer1.0.bn1.running_mean', 'layer2.0.downsample.0.weight')
    """
    for pattern, plain in _TO_PLAIN:
        name = pattern.sub(plain, name)
    return name


def from_plain(name: str, host: str) -> str:
    """What a host's ResNet calls a tensor.

    Args:
        name: The plain name.
        host: 'mmdet', 'mmaction2', 'mmpretrain' or 'torchvision'.

    Returns:
        The host's name.

    Example:
        >>> from_plain("layer2.0.bn3.weight", "mmaction2"), from_plain("layer2.0.bn3.weight", "mmdet")
        ('layer2.0.conv3.bn.weight', 'layer2.0.bn3.weight')
    """
    if host == "mmaction2":
        for pattern, theirs in _TO_MMACTION:
            name = pattern.sub(theirs, name)
    elif host == "mmdet":
        stem = re.match(r"stem\.(\d)\.(conv|bn)\.", name)
        if stem:
            name = f"stem.{3 * int(stem[1]) + _STEM_PARTS.index(stem[2])}.{name[stem.end() :]}"
    return name


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """The plain names of all tensors of a backbone.

    Args:
        names: As one host calls them.

    Returns:
        The plain name of each.

    Example:
        >>> plain_names(["layer1.0.downsample.1.weight", "layer1.0.downsample.2.weight"])
        {'layer1.0.downsample.1.weight': 'layer1.0.downsample.0.weight', 'layer1.0.downsample.2.weight': 'layer1.0...'}
    """
    plain = {name: to_plain(name) for name in names}
    if f"{_FIRST_SHORTCUT}2.weight" in plain.values():
        plain = {name: _renumber(to, -1) for name, to in plain.items()}
    return plain


def host_names(plain: Iterable[str], host: str) -> dict[str, str]:
    """What a host calls all tensors of a ResNet.

    Args:
        plain: The plain names.
        host: 'mmdet', 'mmaction2', 'mmpretrain' or 'torchvision'.

    Returns:
        The host's name of each.

    Example:
        >>> host_names(["conv1.weight", "bn1.bias"], "mmaction2")
        {'conv1.weight': 'conv1.conv.weight', 'bn1.bias': 'conv1.bn.bias'}
    """
    theirs = {name: from_plain(name, host) for name in plain}
    if host == "mmdet" and any(name.endswith(".downsample.2.weight") for name in theirs):
        theirs = {name: _renumber(to, 1) for name, to in theirs.items()}
    return theirs


def _renumber(name: str, by: int) -> str:
    """Move a part of the first stage's shortcut by a place."""
    if not name.startswith(_FIRST_SHORTCUT):
        return name
    index, kind = name.removeprefix(_FIRST_SHORTCUT).split(".", 1)
    return f"{_FIRST_SHORTCUT}{int(index) + by}.{kind}"


def _stem_layer(index: int) -> str:
    layer, part = divmod(index, 3)
    return f"stem.{layer}.{_STEM_PARTS[part] or 'activation'}."
