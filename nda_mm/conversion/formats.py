"""What checkpoints look like, and where in them the backbone is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nda_mm.functional.checks import check_choice
from nda_mm.utils.messages import shorten

from .resnet import is_resnet_name, plain_names, to_plain

#: Put before every name by wrappers: DDP, torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Format:
    """A layout of names.

    Args:
        name: What to call it.
        query: Prefix of the encoder that is trained.
        key: Prefixes of its EMA; the first that is there counts.
        resnet_only: Whether names that no ResNet has are dropped (a classifier next to the backbone), or are part of
            the backbone.
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
    """A backbone in a checkpoint.

    Args:
        format: Name of the checkpoint's layout.
        prefix: What stood before the backbone's names.
        weights: Tensors by plain name.
        dropped: Names of the checkpoint's other tensors.
    """

    format: str
    prefix: str
    weights: dict[str, torch.Tensor]
    dropped: list[str]


def weights_of(checkpoint: Any, where: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name, without what DDP or torch.compile put before the names.

    Args:
        checkpoint: What was loaded: tensors by name, or a dictionary that holds them as ``state_dict`` or ``model``.
        where: What to call it in the message.

    Returns:
        Tensors by name.

    Raises:
        ValueError: If there are none.
    """
    for inside in ("state_dict", "model"):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(inside), Mapping):
            checkpoint = checkpoint[inside]
            break
    named = checkpoint if isinstance(checkpoint, Mapping) else {}
    weights = {str(name): value for name, value in named.items() if isinstance(value, torch.Tensor)}
    if not weights:
        raise ValueError(f"{where} holds no weights by name, alone or as `state_dict` or `model`: {shorten(named)}")
    for wrapper in 2 * _WRAPPERS:  # in either order
        if all(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): value for name, value in weights.items()}
    return weights


def find_backbone(checkpoint: Any, encoder: str = "query", where: str = "the checkpoint") -> FoundBackbone:
    """Find the backbone in a checkpoint of any format served, and give its tensors their plain names.

    Args:
        checkpoint: What was loaded.
        encoder: 'query', the network that was trained, or 'key', its EMA. Defaults to 'query'.
        where: What to call the checkpoint in messages.

    Returns:
        The backbone and what was left out.

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
            raise ValueError(f"{where} ({layout.name}) has no key encoder; take encoder='query'")
        return _take(weights, wanted, layout)
    # None of them: say what the names look like.
    groups = shorten(dict.fromkeys(".".join(name.split(".")[:2]) for name in weights), 6)
    known = ", ".join(layout.name for layout in FORMATS)
    raise ValueError(f"the format of {where} is unknown: its names begin with {groups}; known are: {known}")


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
        plain = {name: name for name in inside}  # another network keeps its own names
    return FoundBackbone(layout.name, prefix, {to: inside[name] for name, to in plain.items()}, dropped)
