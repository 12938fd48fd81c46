"""Recognize the format of a checkpoint, and find the backbone in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nda_mm.functional.checks import check_choice
from nda_mm.utils.messages import shorten

from .resnet import is_resnet_name, plain_names, to_plain

#: Prefixes that wrappers add to every name: DDP, torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Format:
    """Names of the tensors in one format of checkpoints.

    Args:
        name: Name of the format.
        query: Prefix of the trained encoder.
        key: Possible prefixes of its EMA. The first one that occurs is used.
        resnet_only: Whether to drop names that no ResNet has (a classifier next to the backbone). If not, they are part
            of the backbone.
    """

    name: str
    query: str
    key: tuple[str, ...]
    resnet_only: bool


FORMATS = (
    Format("recognizer on nda_mm.DPCEncoder", "backbone.backbone.", (), resnet_only=True),
    Format(
        "OpenMMLab model",
        "backbone.",
        ("encoder_k.module.0.", "momentum_encoder.module.0.", "target_net.module.0."),
        resnet_only=False,
    ),
    Format("facebookresearch/moco", "encoder_q.", ("encoder_k.",), resnet_only=True),
    Format("facebookresearch/moco-v3", "base_encoder.", ("momentum_encoder.",), resnet_only=True),
    Format("plain backbone", "", (), resnet_only=True),
)


@dataclass(frozen=True)
class FoundBackbone:
    """Backbone found in a checkpoint.

    Args:
        format: Name of the checkpoint's format.
        prefix: Prefix of the backbone's names in the checkpoint.
        weights: Tensors by plain name.
        dropped: Names of the checkpoint's other tensors.
    """

    format: str
    prefix: str
    weights: dict[str, torch.Tensor]
    dropped: list[str]


def weights_of(checkpoint: Any, where: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name, without the prefixes of DDP and torch.compile.

    Args:
        checkpoint: The loaded checkpoint: tensors by name, directly or under the key ``state_dict`` or ``model``.
        where: Name of the checkpoint in error messages.

    Returns:
        Tensors by name.

    Raises:
        ValueError: If there are no tensors.
    """
    for inside in ("state_dict", "model"):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(inside), Mapping):
            checkpoint = checkpoint[inside]
            break
    named = checkpoint if isinstance(checkpoint, Mapping) else {}
    weights = {str(name): value for name, value in named.items() if isinstance(value, torch.Tensor)}
    if not weights:
        raise ValueError(
            f"{where} holds no weights: tensors by name must be at the top level or under `state_dict` or `model`, but "
            f"got the keys: {shorten(named)}"
        )
    for wrapper in 2 * _WRAPPERS:  # in either order
        if all(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): value for name, value in weights.items()}
    return weights


def find_backbone(checkpoint: Any, encoder: str = "query", where: str = "the checkpoint") -> FoundBackbone:
    """Find the backbone in a checkpoint of any supported format, and translate its tensors to their plain names.

    Args:
        checkpoint: The loaded checkpoint.
        encoder: 'query', the trained network, or 'key', its EMA. Defaults to 'query'.
        where: Name of the checkpoint in error messages. Defaults to 'the checkpoint'.

    Returns:
        The backbone and the names of the tensors that were dropped.

    Raises:
        ValueError: If the format is unknown, or the file has no such encoder.

    Example:
        >>> moco = {f"module.encoder_q.{name}": torch.zeros(1) for name in ("conv1.weight", "fc.0.bias")}
        >>> found = find_backbone({"state_dict": moco})
        >>> found.format, list(found.weights), found.dropped
        ('facebookresearch/moco', ['conv1.weight'], ['encoder_q.fc.0.bias'])
    """
    check_choice(encoder, "encoder", ("query", "key"))
    weights = weights_of(checkpoint, where)
    for layout in FORMATS:
        if not _holds(weights, layout.query, layout.resnet_only):
            continue
        prefixes = (layout.query,) if encoder == "query" else layout.key
        wanted = next((p for p in prefixes if any(n.startswith(p) for n in weights)), None)
        if wanted is None:
            raise ValueError(f"{where} ({layout.name}) has no key encoder; use encoder='query'")
        return _take(weights, wanted, layout)
    # No format fits: show what the names look like.
    groups = shorten(dict.fromkeys(".".join(name.split(".")[:2]) for name in weights), 6)
    known = ", ".join(layout.name for layout in FORMATS)
    raise ValueError(f"the format of {where} must be one of {known}, but its names begin with {groups}")


def _holds(weights: Mapping[str, torch.Tensor], prefix: str, resnet_only: bool) -> bool:
    names = [name[len(prefix) :] for name in weights if name.startswith(prefix)]
    return bool(names) and (not resnet_only or any(is_resnet_name(to_plain(name)) for name in names))


def _take(weights: Mapping[str, torch.Tensor], prefix: str, layout: Format) -> FoundBackbone:
    inside = {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}
    dropped = [name for name in weights if not name.startswith(prefix)]
    plain = plain_names(inside)
    if layout.resnet_only:
        dropped += [prefix + name for name in inside if not is_resnet_name(plain[name])]
        plain = {name: to for name, to in plain.items() if is_resnet_name(to)}
    elif not all(map(is_resnet_name, plain.values())):
        plain = {name: name for name in inside}  # other networks keep their own names
    return FoundBackbone(layout.name, prefix, {to: inside[name] for name, to in plain.items()}, dropped)
