"""Which of mmpretrain's methods can take negative keys, where each keeps what they need, and why others can't."""

from __future__ import annotations

from dataclasses import dataclass

from mmpretrain.models import BYOL, MAE, BarlowTwins, DenseCL, MoCo, MoCoV3, SimCLR, SimSiam, SwAV
from torch import nn


@dataclass(frozen=True)
class ContrastMethod:
    """What must be known of a method to add columns to its rows of logits.

    All of them end in ``head.loss_module(logits, labels)``, one row to a query, so that is where negatives enter.

    Attributes:
        query_from: Name of the module whose first output is the query, before it is brought to unit length.
        key_encoder: Name of the module that encodes keys; it takes images and gives a tuple, the keys first.
        rows: For each call of the loss module in one step, the views that gave its queries and its keys; None where the
            rows are no whole images.
        shuffles: Whether the method shuffles its keys across ranks, so that batch statistics tell nothing.
        queued: Whether the other keys come from a queue (``queue``), rather than from the batch.
        joint: Whether the method calls ``key_encoder`` as one module, so that negatives can share its pass.
    """

    query_from: str
    key_encoder: str
    rows: tuple[tuple[int, int] | None, ...]
    shuffles: bool
    queued: bool
    joint: bool


#: As mmpretrain 1.2 has them. The dense rows of DenseCL are places of an image: a jigsaw's tile at the query's place
#: may well be the same tile, so negatives enter the rows of whole images alone.
METHODS: dict[type[nn.Module], ContrastMethod] = {
    MoCo: ContrastMethod("neck", "encoder_k", ((0, 1),), shuffles=True, queued=True, joint=True),
    DenseCL: ContrastMethod("neck", "encoder_k", ((0, 1), None), shuffles=True, queued=True, joint=False),
    MoCoV3: ContrastMethod(
        "head.predictor", "momentum_encoder", ((0, 1), (1, 0)), shuffles=False, queued=False, joint=True
    ),
}

_NO_NEGATIVES = "compares with no other images, so there is no denominator for negatives to enter"
_REFUSED: dict[type[nn.Module], str] = {
    SimCLR: "has no key encoder: its keys are the trained network's own outputs of the one pass over both views, whose "
    "batch statistics and gradients negatives would change. Use MoCo, or nda_mm.losses.info_nce in a model of your own",
    BYOL: _NO_NEGATIVES,
    SimSiam: _NO_NEGATIVES,
    BarlowTwins: _NO_NEGATIVES,
    SwAV: "compares with prototypes, not with keys of images",
    MAE: "reconstructs images and contrasts nothing",
}


def contrast_method(model: nn.Module) -> ContrastMethod:
    """The method of a model.

    Args:
        model: Unwrapped, as the config built it.

    Returns:
        What is known of it.

    Raises:
        TypeError: If it can't take negative keys; the message says why, and what can.
    """
    for kind, method in METHODS.items():
        if isinstance(model, kind):
            _check_parts(model, method)
            return method
    reason = next((reason for kind, reason in _REFUSED.items() if isinstance(model, kind)), "is none of these")
    served = ", ".join(kind.__name__ for kind in METHODS)
    raise TypeError(
        f"NDAContrastHook adds negative keys to mmpretrain's {served}; {type(model).__name__} {reason}. For GANs use "
        "nda_mm.NDABigGAN and its like."
    )


def _check_parts(model: nn.Module, method: ContrastMethod) -> None:
    head = getattr(model, "head", None)
    loss_module = getattr(head, "loss_module", None)
    if not isinstance(loss_module, nn.Module) or not hasattr(head, "temperature"):
        raise TypeError(
            f"NDAContrastHook needs a head with loss_module and temperature, as mmpretrain's ContrastiveHead has; "
            f"{type(model).__name__} has {type(head).__name__}."
        )
    if any(True for _ in loss_module.parameters()) or any(True for _ in loss_module.buffers()):
        raise TypeError(
            f"The loss module {type(loss_module).__name__} has weights or buffers; wrapping it would rename them in "
            "checkpoints. Use one without, such as CrossEntropyLoss."
        )
    for name in (method.query_from, method.key_encoder):
        try:
            model.get_submodule(name)
        except AttributeError:
            raise TypeError(f"{type(model).__name__} has no {name}, which NDAContrastHook needs.") from None
