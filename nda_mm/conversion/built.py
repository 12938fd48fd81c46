"""A config's backbone, built and filled as training would do it: the proof that a file serves it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from nda_mm.checkpoints import AtomicLocalBackend, read_checkpoint
from nda_mm.compat import apply_mends
from nda_mm.utils.files import recipe_path
from nda_mm.utils.random_state import isolated_rng

from .fit import require_carried, require_fit

_TORCHVISION = "torchvision."


def check_config(config: str, file: Path, weights: Mapping[str, torch.Tensor], source: str) -> dict[str, int]:
    """Build what a config loads a backbone into, let it load the file its own way, and compare every tensor.

    Args:
        config: A config of any host, or ``torchvision.resnet50`` for a network of torchvision's.
        file: The converted file; it takes the place of what the config names as ``pretrained`` or in ``init_cfg``.
        weights: Its tensors by plain name.
        source: What to call it in messages.

    Returns:
        The number of tensors that arrived, for the backbone and, if there is one, a detector's shared head.

    Raises:
        BackboneMismatchError: If the architectures differ, or the file's names are not those that the model reads.
        ValueError: If there is no such network, or the config has no ``model.backbone``.
        FileNotFoundError: If there is no such config.
    """
    scope, parts = _parts(config)
    counts = {}
    with DefaultScope.overwrite_default_scope(scope), quietly():
        for target, settings in parts.items():
            module = _build(settings, file)
            require_fit(module, weights, source=source, target=target)
            _load(module, settings, file)
            counts[target] = require_carried(module, weights, source=source, target=target)
    return counts


def input_statistics_of(config: str) -> dict[str, Any]:
    """Mean and standard deviation that a config gives the inputs of its model.

    Args:
        config: A config; ``torchvision.resnet50`` and the like say nothing.

    Returns:
        Some of ``mean`` and ``std``.
    """
    if config.startswith(_TORCHVISION) and not Path(config).exists():
        return {}
    cfg = Config.fromfile(recipe_path(config))
    said = cfg.get("model", {}).get("data_preprocessor") or cfg.get("data_preprocessor") or {}
    return {name: list(said[name]) for name in ("mean", "std") if said.get(name) is not None}


def write_untrained(config: Config, seed: int, file: Path) -> None:
    """Save a config's model as it is before any training: the random network that pretrained ones are held against.

    Args:
        config: A resolved config.
        seed: Of its random weights; the caller's random numbers go on as if nothing had been drawn.
        file: Gets the weights as ``state_dict``, whole or not at all.
    """
    apply_mends()
    scope = config.get("default_scope", "mmengine")
    with DefaultScope.overwrite_default_scope(scope), quietly(), isolated_rng(seed):
        model = MODELS.build(config.model)
        model.init_weights()
    buffer = io.BytesIO()
    torch.save(dict(meta=dict(seed=seed), state_dict=model.state_dict()), buffer)
    AtomicLocalBackend().put(buffer.getvalue(), file)


@contextmanager
def quietly() -> Iterator[None]:
    """Without mmengine's line for each parameter and mmaction2's for each name: what they say is compared instead."""
    name = "nda_mm backbone check"
    MMLogger.get_instance(name, log_level="ERROR")  # the newest is the one that messages go to
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        MMLogger._instance_dict.pop(name)


def _parts(config: str) -> tuple[str, dict[str, dict[str, Any]]]:
    if config.startswith(_TORCHVISION) and not Path(config).exists():
        return "mmengine", {config: dict(type=config)}
    apply_mends()
    cfg = Config.fromfile(recipe_path(config))
    backbone = cfg.get("model", {}).get("backbone")
    if backbone is None:
        raise ValueError(f"{config} has no model.backbone to check")
    parts = {f"the backbone of {config}": backbone.get("net", backbone).to_dict()}
    shared_head = (cfg.model.get("roi_head") or {}).get("shared_head")
    if shared_head is not None:
        parts[f"the shared head of {config}"] = shared_head.to_dict()
    return cfg.get("default_scope", "mmengine"), parts


def _build(settings: dict[str, Any], file: Path) -> nn.Module:
    settings = dict(settings)
    if str(settings["type"]).startswith(_TORCHVISION):
        import torchvision

        name = settings.pop("type").removeprefix(_TORCHVISION)
        if not hasattr(torchvision.models, name):
            raise ValueError(f"torchvision.models has no {name}")
        module = getattr(torchvision.models, name)(**{**settings, "weights": None})
        module.fc = nn.Identity()  # the classifier is no part of a backbone
        return module
    if "pretrained" in settings:  # mmaction2's own way, which inflates too
        settings["pretrained"] = str(file)
    else:
        settings["init_cfg"] = dict(type="Pretrained", checkpoint=str(file))
    return MODELS.build(settings)


def _load(module: nn.Module, settings: Mapping[str, Any], file: Path) -> None:
    if str(settings["type"]).startswith(_TORCHVISION):
        # torchvision has no way of its own to be told a file: strict=False is what people write.
        module.load_state_dict(read_checkpoint(file, needed=("state_dict",))["state_dict"], strict=False)
    else:
        module.init_weights()  # type: ignore[operator]  # every host's network is a BaseModule
