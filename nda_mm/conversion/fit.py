"""Whether weights fit a model, and whether a model bears them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from nda_mm.utils.messages import shorten

from .architecture import BackboneMismatchError, ResNetArchitecture, describe, is_resnet_name
from .names import plain_names

#: Counters of seen batches: old files lack them and nothing depends on them.
_COUNTER = "num_batches_tracked"


def plain_state(module: nn.Module, given: Mapping[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """A model's tensors by plain name, those of inflated convolutions summed over time.

    An inflated kernel is its 2-D kernel divided by its length and repeated, so that the sum over time is the 2-D one:
    what a still picture sees of it.

    Args:
        module: A backbone of any host, a stage of one, or a 3-D one that was inflated.
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


def require_fit(module: nn.Module, weights: Mapping[str, torch.Tensor], *, source: str, target: str) -> list[str]:
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
        nda_mm.conversion.architecture.BackboneMismatchError: a.pth does not fit ResNet...
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
    module: nn.Module, weights: Mapping[str, torch.Tensor], *, source: str, target: str, tolerance: float = 1e-5
) -> int:
    """Refuse a model that does not bear the weights it was told to load.

    The hosts load leniently: what doesn't fit by name is passed over with a line in the log, and the layer stays
    random. This compares values instead, through every naming that :mod:`nda_mm.conversion.names` knows, inflated
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
    borne = plain_state(module, weights)
    different = [
        name
        for name, value in borne.items()
        if not torch.allclose(value.detach().double().cpu(), weights[name].double(), rtol=tolerance, atol=1e-7)
    ]
    if different:
        raise BackboneMismatchError(
            f"{target} was told to load {source} but does not bear its weights: {len(different)} of {len(borne)} "
            f"tensors differ, {shorten(different)}. Either the names in the file are those of another host (see "
            "tools/convert_backbone.py --to), or the model's settings keep it from reading the file."
        )
    return len(borne)


def _label(weights: Mapping[str, torch.Tensor]) -> str:
    try:
        found: ResNetArchitecture | None = describe(weights)
    except BackboneMismatchError:
        found = None
    if found is not None:
        return f"a {found}"
    stages = list(dict.fromkeys(name.split(".")[0] for name in weights))
    return f"a network of {shorten(stages, 6)}"
