"""Mixed precision for every optimizer of a config, or for none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

AMP_DTYPES = ("bfloat16", "float16")
#: Wrappers that may be exchanged for one of mixed precision, since they differ from it in nothing else.
_EXCHANGEABLE = ("OptimWrapper", "AmpOptimWrapper", "BF16OptimWrapper")

#: Models of mmagic, and ours on them, whose step never enters the wrappers' context, so that nothing would be autocast:
#: they have a precision of their own, by blocks of their networks.
IGNORING = ("NDAStyleGAN2", "NDAStyleGAN3", "StyleGAN2", "StyleGAN3")


def default_amp_dtype() -> str:
    """bfloat16 wherever the hardware computes in it, a CPU included: it needs no loss scale. Else float16.

    Example:
        >>> default_amp_dtype() in AMP_DTYPES
        True
    """
    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "float16"
    return "bfloat16"


def enable_amp(optim_wrapper: dict[str, Any], dtype: str | None = None) -> list[str]:
    """Convert every optimizer wrapper of a config to mixed precision, in place.

    Args:
        optim_wrapper: The config's ``optim_wrapper``, of one optimizer or of several by name.
        dtype: 'bfloat16' (``nda_mm.BF16OptimWrapper``, any device) or 'float16' (mmengine's ``AmpOptimWrapper`` with
            its loss scale, GPU only). Defaults to None: :func:`default_amp_dtype`.

    Returns:
        Names of the converted optimizers, '' for the one without a name.

    Raises:
        ValueError: If one of them can't be converted; then none is.

    Example:
        >>> config = dict(generator=dict(optimizer=dict(type="Adam")), discriminator=dict(optimizer=dict(type="Adam")))
        >>> enable_amp(config, "bfloat16")
        ['generator', 'discriminator']
        >>> config["generator"]["type"]
        'nda_mm.BF16OptimWrapper'
    """
    dtype = default_amp_dtype() if dtype is None else dtype
    if dtype not in AMP_DTYPES:
        raise ValueError(f"The AMP dtype must be one of {', '.join(AMP_DTYPES)}, but got {dtype!r}.")
    if dtype == "float16" and not torch.cuda.is_available():
        raise ValueError(
            "AMP in float16 needs a GPU: torch's autocast on a CPU trains in bfloat16 only. Use --amp-dtype bfloat16."
        )
    members = list(_members(optim_wrapper))
    if not members:
        raise ValueError("AMP found no optimizer in optim_wrapper, so nothing would run in mixed precision.")
    for name, member in members:
        _refuse_unknown(name, member)
    for _, member in members:
        if dtype == "bfloat16":
            member["type"] = "nda_mm.BF16OptimWrapper"
            for scaling in ("loss_scale", "dtype", "use_fsdp"):
                member.pop(scaling, None)
        else:
            member["type"] = "AmpOptimWrapper"
            member["dtype"] = dtype
            member.setdefault("loss_scale", "dynamic")
    return [name for name, _ in members]


def check_model(model: dict[str, Any]) -> None:
    """Refuse a model that would not heed its optimizers' mixed precision.

    Args:
        model: The config's ``model``.

    Raises:
        ValueError: If it is one of :data:`IGNORING`.

    Example:
        >>> check_model(dict(type="nda_mm.NDABigGAN"))
    """
    kind = model.get("type", "")
    kind = (kind if isinstance(kind, str) else kind.__name__).split(".")[-1]
    if kind in IGNORING:
        raise ValueError(
            f"AMP would do nothing: {kind} trains in the precision of its networks' own settings, whatever its "
            "optimizers' wrappers say. Set model.generator.num_fp16_scales and model.discriminator.num_fp16_scales (4: "
            "float16 in the four largest resolutions, on a GPU) instead of --amp."
        )


def _members(optim_wrapper: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if "optimizer" in optim_wrapper:
        yield "", optim_wrapper
        return
    for name, member in optim_wrapper.items():
        if isinstance(member, dict) and "optimizer" in member:
            yield name, member
        elif name not in ("type", "constructor", "paramwise_cfg", "modules"):
            raise ValueError(
                f"AMP can't convert optim_wrapper[{name!r}]: {member!r} is no config of an optimizer wrapper."
            )


def _refuse_unknown(name: str, member: dict[str, Any]) -> None:
    kind = member.get("type", "OptimWrapper")
    kind = kind if isinstance(kind, str) else kind.__name__
    if kind.split(".")[-1] not in _EXCHANGEABLE:
        raise ValueError(
            f"AMP can't convert {f'optimizer {name!r}' if name else 'the optimizer'}: its wrapper {kind} has its own "
            f"way of stepping. Set its precision in the config, or make it one of {', '.join(_EXCHANGEABLE)}."
        )
