"""Whether weights fit a model and have arrived in it, and the proof: a config's backbone, built and filled."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from nda_mm.checkpoints import read_checkpoint, write_checkpoint
from nda_mm.compat import apply_patches
from nda_mm.utils.files import recipe_path
from nda_mm.utils.messages import shorten
from nda_mm.utils.random_state import isolated_rng

from .resnet import BackboneMismatchError, describe, is_resnet_name, plain_names

_TORCHVISION = "torchvision."
#: Counters of seen batches: old files lack them and nothing depends on them.
_COUNTER = "num_batches_tracked"


def plain_state(module: nn.Module, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """A model's tensors by plain name, those of inflated convolutions summed over time.

    An inflated kernel is its 2-D kernel divided by its length and repeated, so that the sum over time is the 2-D one:
    what a still picture sees of it.

    Args:
        module: A backbone of any framework, a stage of one, or a 3-D one that was inflated.
        given: Weights by plain name that the tensors are held against: what is 3-D there was not inflated and is left
            as it is. Defaults to None.

    Returns:
        Tensors by plain name, without batch counters; a network that is no ResNet keeps its own names.
    """
    state = {name: value for name, value in module.state_dict().items() if not name.endswith(_COUNTER)}
    plain = plain_names(state)
    if not all(map(is_resnet_name, plain.values())):
        return state
    deep = {name for name, value in (given or {}).items() if value.ndim == 5}
    return {
        plain[name]: value.sum(dim=2) if value.ndim == 5 and plain[name] not in deep else value
        for name, value in state.items()
    }


def require_fit(module: nn.Module, weights: Mapping[str, Tensor], *, source: str, target: str) -> list[str]:
    """Refuse weights that a model can't take whole, before any is loaded.

    Args:
        module: The backbone, or a stage of one.
        weights: Tensors by plain name.
        source: What to call the weights in the message.
        target: What to call the model.

    Returns:
        Names that the model doesn't use, of whole stages that it lacks (``layer4`` with a C4 backbone).

    Raises:
        BackboneMismatchError: If one of the model's tensors is missing or has another shape, or the weights have more
            layers in the model's stages than the model; both architectures and the first differences are named.

    Example:
        >>> from torchvision.models import resnet18
        >>> backbone = resnet18(); backbone.fc = nn.Identity()
        >>> require_fit(backbone, {"conv1.weight": torch.zeros(64, 3, 7, 7)}, source="a.pth", target="ResNet")
        Traceback (most recent call last):
        ...
        nda_mm.conversion.resnet.BackboneMismatchError: a.pth does not fit ResNet...
    """
    wanted = plain_state(module, weights)
    given = {name: value for name, value in weights.items() if not name.endswith(_COUNTER)}
    stages = {name.split(".")[0] for name in wanted}
    # A shared head is one stage; a backbone has the layers before its last stage too.
    unused = [name for name in given if name not in wanted and name.split(".")[0] not in stages]
    differences = [
        f"{name} is {tuple(given[name].shape)} and should be {tuple(tensor.shape)}"
        if name in given
        else f"{name} is missing"
        for name, tensor in wanted.items()
        if name not in given or given[name].shape != tensor.shape
    ]
    differences += [
        f"{name} has no place" for name in given if name not in wanted and name.split(".")[0] in stages
    ]  # a deeper network's further blocks
    if differences:
        raise BackboneMismatchError(
            f"{source} does not fit {target}: the weights are those of {_label(given)}, the model is {_label(wanted)}. "
            f"{len(differences)} tensors differ: {shorten(differences)}."
        )
    return unused


def require_carried(
    module: nn.Module, weights: Mapping[str, Tensor], *, source: str, target: str, tolerance: float = 1e-5
) -> int:
    """Refuse a model that does not hold the weights it was told to load.

    The frameworks load leniently: what doesn't fit by name is skipped with a line in the log, and the layer stays
    random. This compares values instead, through every naming that :mod:`nda_mm.conversion.resnet` knows, inflated
    convolutions included.

    Args:
        module: The backbone after ``init_weights()``.
        weights: Tensors by plain name.
        source: What to call the weights in the message.
        target: What to call the model.
        tolerance: Relative difference allowed; inflation rounds. Defaults to 1e-5.

    Returns:
        The number of tensors compared.

    Raises:
        BackboneMismatchError: If tensors differ; the first are named.

    Example:
        >>> from torchvision.models import resnet18
        >>> backbone = resnet18(); backbone.fc = nn.Identity()
        >>> require_carried(backbone, backbone.state_dict(), source="a.pth", target="ResNet")
        100
    """
    require_fit(module, weights, source=source, target=target)
    loaded = plain_state(module, weights)
    different = [
        name
        for name, value in loaded.items()
        if not torch.allclose(value.detach().double().cpu(), weights[name].double(), rtol=tolerance, atol=1e-7)
    ]
    if different:
        raise BackboneMismatchError(
            f"{target} was told to load {source} but does not hold its weights: {len(different)} of {len(loaded)} "
            f"tensors differ, {shorten(different)}. Either the names in the file are those of another framework (see "
            "tools/convert_backbone.py --to), or the model's settings keep it from reading the file."
        )
    return len(loaded)


def _label(weights: Mapping[str, Tensor]) -> str:
    with suppress(BackboneMismatchError):
        if (found := describe(weights)) is not None:
            return f"a {found}"
    stages = list(dict.fromkeys(name.split(".")[0] for name in weights))
    return f"a network of {shorten(stages, 6)}"


def check_config(config: str, file: Path, weights: Mapping[str, Tensor], source: str) -> dict[str, int]:
    """Build what a config loads a backbone into, let it load the file its own way, and compare every tensor.

    Args:
        config: A config of any framework, or ``torchvision.resnet50`` for a network of torchvision's.
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
    with DefaultScope.overwrite_default_scope(scope), quiet():
        for target, settings in parts.items():
            module = _build(settings, file)
            require_fit(module, weights, source=source, target=target)
            _load(module, settings, file)
            counts[target] = require_carried(module, weights, source=source, target=target)
    return counts


def write_untrained(config: Config, seed: int, file: Path) -> None:
    """Save a config's model as it is before any training: the random network that pretrained ones are compared with.

    Args:
        config: A resolved config.
        seed: Of its random weights; the caller's random numbers go on as if nothing had been drawn.
        file: Gets the weights as ``state_dict``, whole or not at all.
    """
    apply_patches()
    scope = config.get("default_scope", "mmengine")
    with DefaultScope.overwrite_default_scope(scope), quiet(), isolated_rng(seed):
        model = MODELS.build(config.model)
        model.init_weights()
    write_checkpoint(dict(meta=dict(seed=seed), state_dict=model.state_dict()), file)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence mmengine's line for each parameter and mmaction2's for each name."""
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
    apply_patches()
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
        # torchvision has no way to be given a file: strict=False is what people write.
        module.load_state_dict(read_checkpoint(file, needed=("state_dict",))["state_dict"], strict=False)
    else:
        module.init_weights()  # type: ignore[operator]  # every framework's network is a BaseModule
