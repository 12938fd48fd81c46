"""Check that weights fit a model and were loaded into it, also for the backbone that a config builds."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from nda_mm.checkpoints import compare_keys, read_checkpoint, write_checkpoint
from nda_mm.command_line import read_config
from nda_mm.compat import apply_patches
from nda_mm.utils.messages import shorten
from nda_mm.utils.random_state import isolated_rng

from .resnet import BackboneMismatchError, describe, is_resnet_name, plain_names

_TORCHVISION = "torchvision."
#: Counters of batches: old files lack them, and nothing depends on them.
_COUNTER = "num_batches_tracked"


def plain_state(module: nn.Module, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return a model's tensors by plain name, with inflated convolutions summed over time.

    An inflated kernel is a 2-D kernel divided by its length in time and repeated. The sum over time is therefore the
    2-D kernel, which is also its effect on a still image.

    Args:
        module: A backbone of any framework, a stage of one, or an inflated 3-D backbone.
        given: Weights by plain name to compare the tensors with. Kernels that are 3-D in these weights were not
            inflated and are not summed. Defaults to None.

    Returns:
        Tensors by plain name, without batch counters; a network that is not a ResNet keeps its own names.
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
    """Raise BackboneMismatchError if a model can't load weights completely, before anything is loaded.

    Args:
        module: The backbone, or a stage of one.
        weights: Tensors by plain name.
        source: Name of the weights in error messages.
        target: Name of the model in error messages.

    Returns:
        Names of the weights in stages that the model lacks, and so does not use (``layer4`` with a C4 backbone).

    Raises:
        BackboneMismatchError: If one of the model's tensors is missing or has a different shape, or the weights have
            more layers in the model's stages than the model. The message names both architectures and the first
            differences.

    Example:
        >>> from torchvision.models import resnet18
        >>> backbone = resnet18(); backbone.fc = nn.Identity()
        >>> require_fit(backbone, {"conv1.weight": torch.zeros(64, 3, 7, 7)}, source="a.pth", target="ResNet")
        Traceback (most recent call last):
        ...
        nda_mm.conversion.resnet.BackboneMismatchError: a.pth does not fit ResNet...
    """
    wanted = plain_state(module, weights)
    stages = {name.split(".")[0] for name in wanted}
    given = {name: value for name, value in weights.items() if not name.endswith(_COUNTER)}
    unused = [name for name in given if name.split(".")[0] not in stages]
    refuse_other_names(wanted, given, source=source, target=target, unused=unused)
    return unused


def require_carried(module: nn.Module, weights: Mapping[str, Tensor], *, source: str, target: str) -> int:
    """Raise BackboneMismatchError if a model does not hold the weights it should have loaded.

    The frameworks load leniently: a tensor whose name doesn't fit is skipped with a line in the log, and the layer
    stays random. This function compares values instead. It knows all layer names of :mod:`nda_mm.conversion.resnet`,
    and inflated convolutions.

    Args:
        module: The backbone after ``init_weights()``.
        weights: Tensors by plain name.
        source: Name of the weights in error messages.
        target: Name of the model in error messages.

    Returns:
        The number of tensors compared.

    Raises:
        BackboneMismatchError: If tensors differ. The message names the first ones.

    Example:
        >>> from torchvision.models import resnet18
        >>> backbone = resnet18(); backbone.fc = nn.Identity()
        >>> require_carried(backbone, backbone.state_dict(), source="a.pth", target="ResNet")
        100
    """
    require_fit(module, weights, source=source, target=target)
    loaded = plain_state(module, weights)
    refuse_other_values(loaded, weights, source=source, target=target, tolerance=1e-5)  # inflation rounds
    return len(loaded)


def refuse_other_names(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], *, source: str, target: str, unused: Iterable[str] = ()
) -> None:
    """Raise BackboneMismatchError if the names and shapes of weights are not those of a model.

    Args:
        wanted: The model's tensors, or those of them that the weights must have.
        given: The weights.
        source: Name of the weights in error messages.
        target: Name of the model in error messages.
        unused: Names of weights that the model may lack. Defaults to none.
    """
    left_out = set(unused)
    if faults := compare_keys(wanted, {name: value for name, value in given.items() if name not in left_out}):
        raise BackboneMismatchError(
            f"{source} does not fit {target}: the weights are {_label(given)}, the model is {_label(wanted)}; {faults}"
        )


def refuse_other_values(
    loaded: Mapping[str, Tensor], given: Mapping[str, Tensor], *, source: str, target: str, tolerance: float = 0.0
) -> None:
    """Raise BackboneMismatchError if a model's tensors differ from the weights of the same names.

    Args:
        loaded: The model's tensors.
        given: The weights, which are compared in the model's precision.
        source: Name of the weights in error messages.
        target: Name of the model in error messages.
        tolerance: Relative tolerance. The absolute tolerance is a hundredth of it. Defaults to 0.0: bit for bit.
    """
    both = [name for name in loaded if name in given]
    different = []
    for name in both:
        one, other = loaded[name].detach().cpu(), given[name].to(loaded[name].dtype)
        if not torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance / 100):
            different.append(name)
    if different:
        raise BackboneMismatchError(
            f"{target} does not hold the weights of {source}: {len(different)} of {len(both)} tensors differ "
            f"({shorten(different)}). Check whether the model's init_cfg or load_from initialized them again, "
            "and whether the names in the file are those of another framework (tools/convert_backbone.py)"
        )


def _label(weights: Mapping[str, Tensor]) -> str:
    with suppress(BackboneMismatchError):
        if (found := describe(weights)) is not None:
            return f"a {found}"
    return f"a network of {shorten(dict.fromkeys(name.split('.')[0] for name in weights), 6)}"


def check_config(config: str, file: Path, weights: Mapping[str, Tensor], source: str) -> dict[str, int]:
    """Build the backbone of a config, let it load a converted file as in training, and compare every tensor.

    Args:
        config: A config of any framework, or a name such as ``torchvision.resnet50``.
        file: The converted file. It replaces the one that the config gives as ``pretrained`` or in ``init_cfg``.
        weights: Tensors of the file by plain name.
        source: Name of the weights in error messages.

    Returns:
        The number of tensors loaded, for the backbone and, if there is one, a detector's shared head.

    Raises:
        BackboneMismatchError: If the architectures differ, or the file's names are not those that the model reads.
        ValueError: If torchvision has no such network, or the config has no ``model.backbone``.
        FileNotFoundError: If the config does not exist.
    """
    # A torchvision network, given by its name.
    if config.startswith(_TORCHVISION) and not Path(config).exists():
        import torchvision

        net = torchvision.models.get_model(config.removeprefix(_TORCHVISION), weights=None)
        net.fc = nn.Identity()  # the classifier is not part of a backbone
        require_fit(net, weights, source=source, target=config)
        net.load_state_dict(read_checkpoint(file, needed=("state_dict",))["state_dict"], strict=False)
        return {config: require_carried(net, weights, source=source, target=config)}
    # A config: its backbone, which ShiftedBackbone holds as `net`, and a detector's shared head.
    cfg = read_config(config)
    backbone = cfg.get("model", {}).get("backbone")
    if backbone is None:
        raise ValueError(f"{config} has no model.backbone to check")
    parts = {f"the backbone of {config}": backbone.get("net", backbone).to_dict()}
    if (shared_head := (cfg.model.get("roi_head") or {}).get("shared_head")) is not None:
        parts[f"the shared head of {config}"] = shared_head.to_dict()
    counts = {}
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmengine")), quiet():
        for target, settings in parts.items():
            module = _build(settings, file)
            require_fit(module, weights, source=source, target=target)
            module.init_weights()
            counts[target] = require_carried(module, weights, source=source, target=target)
    return counts


def _build(settings: dict[str, Any], file: Path) -> Any:
    if "pretrained" in settings:  # mmaction2's own way to load, which also inflates
        return MODELS.build({**settings, "pretrained": str(file)})
    return MODELS.build({**settings, "init_cfg": dict(type="Pretrained", checkpoint=str(file))})


def initial_model(config: Config, seed: int) -> nn.Module:
    """Build a config's model with random weights from a seed, and restore the caller's RNG state."""
    scope = config.get("default_scope", "mmengine")
    with DefaultScope.overwrite_default_scope(scope), quiet(), isolated_rng(seed):
        model: nn.Module = MODELS.build(config.model)
        model.init_weights()  # type: ignore[operator]
    return model


def write_untrained(config: Config, seed: int, file: Path) -> None:
    """Save a config's untrained model, the random network that pretrained ones are compared with.

    Args:
        config: A resolved config.
        seed: Seed of its random weights.
        file: File to write the weights to, as ``state_dict``. It is written completely or not at all.
    """
    apply_patches()
    write_checkpoint(dict(meta=dict(seed=seed), state_dict=initial_model(config, seed).state_dict()), file)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the lines that mmengine prints per parameter and mmaction2 per name."""
    name = "nda_mm backbone check"
    MMLogger.get_instance(name, log_level="ERROR")  # messages go to the newest logger
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        MMLogger._instance_dict.pop(name)
