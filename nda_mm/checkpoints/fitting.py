"""Whether weights fit a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import Tensor, nn

from nda_mm.utils.messages import shorten


class MismatchedCheckpointError(ValueError):
    """A checkpoint whose weights are not those of the model."""


def compare_keys(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Say where weights do not fit a model by name and shape.

    Counters of batch normalisation (``num_batches_tracked``), which old checkpoints lack, may be absent.

    Args:
        wanted: The model's ``state_dict()``, or a part of it.
        given: The weights.

    Returns:
        How many are missing, of another shape and unexpected, with the first few names of each; empty if all
        fit.

    Example:
        >>> import torch
        >>> compare_keys({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, {"weight": torch.zeros(2, 4)})
        '1 missing (bias); 1 of another shape (weight (2, 4) for (2, 3))'
    """
    return _in_words(
        missing=[name for name in wanted if name not in given and not name.endswith("num_batches_tracked")],
        shapes=[
            f"{name} {tuple(given[name].shape)} for {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in given and given[name].shape != value.shape
        ],
        unexpected=[name for name in given if name not in wanted],
    )


def load_strictly(model: nn.Module, checkpoint: Mapping[str, Any], *, source: str, target: str) -> None:
    """Load a checkpoint into a model, and refuse one that does not fit it.

    mmengine's loading does the comparison, so a module that reads weights under their former names still does.

    Args:
        model: The model, not wrapped for several processes.
        checkpoint: What was read; the weights alone, or with them as ``state_dict``.
        source: What to call the checkpoint in the message.
        target: What to call the model.

    Raises:
        MismatchedCheckpointError: If weights are missing, of another shape or unexpected; a few of each are
            named. What fits has been loaded.
    """
    if not isinstance(checkpoint, Mapping):
        raise MismatchedCheckpointError(f"{source} holds no weights by name but a {type(checkpoint).__name__}.")
    try:
        _load_checkpoint_to_model(model, checkpoint, strict=True)
    except RuntimeError as error:
        said = str(error)
        names = {kind: found.split(", ") for kind, found in re.findall(r"(\w+) keys? in source state_dict: (.*)", said)}
        faults = _in_words(
            missing=names.get("missing", []),
            shapes=[
                f"{name} ({given}) for ({wanted})"
                for name, given, wanted in re.findall(r"size mismatch for (\S+): .*?\[(.*?)\].*?\[(.*?)\]", said)
            ],
            unexpected=names.get("unexpected", []),
        )
        if not faults:
            raise
        raise MismatchedCheckpointError(f"{source} does not fit {target}: {faults}.") from error


def _in_words(missing: Iterable[str], shapes: Iterable[str], unexpected: Iterable[str]) -> str:
    kinds = {"missing": list(missing), "of another shape": list(shapes), "unexpected": list(unexpected)}
    return "; ".join(f"{len(names)} {kind} ({shorten(names)})" for kind, names in kinds.items() if names)
