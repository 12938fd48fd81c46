"""Mixed precision: the ``--amp`` option, and an optimizer wrapper for bfloat16 on GPUs and CPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn
from torch.overrides import TorchFunctionMode

from nda_mm.functional.checks import check_choice
from nda_mm.registry import OPTIM_WRAPPERS

AMP_DTYPES = ("bfloat16", "float16")
#: Wrappers that differ only in precision, so that one may replace another.
_EXCHANGEABLE = ("OptimWrapper", "AmpOptimWrapper", "BF16OptimWrapper")
#: Models whose step never enters the wrappers' autocast context: their networks' settings decide the precision.
_WITHOUT_AUTOCAST = ("NDAStyleGAN2", "NDAStyleGAN3", "StyleGAN2", "StyleGAN3")
_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


def default_amp_dtype() -> str:
    """Return 'float16' for a GPU without native bfloat16, else 'bfloat16', also on a CPU.

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
        optim_wrapper: The config's ``optim_wrapper``, for one optimizer or several by name.
        dtype: 'bfloat16' (``nda_mm.BF16OptimWrapper``, any device) or 'float16' (mmengine's ``AmpOptimWrapper`` with
            its loss scale, GPU only). Defaults to None, which uses :func:`default_amp_dtype`.

    Returns:
        Names of the converted optimizers; '' for an unnamed one.

    Raises:
        ValueError: If one of them can't be converted; none is converted then.

    Example:
        >>> config = dict(generator=dict(optimizer=dict(type="Adam")), discriminator=dict(optimizer=dict(type="Adam")))
        >>> enable_amp(config, "bfloat16")
        ['generator', 'discriminator']
        >>> config["generator"]["type"]
        'nda_mm.BF16OptimWrapper'
    """
    # Check the dtype against the hardware.
    dtype = check_choice(default_amp_dtype() if dtype is None else dtype, "the AMP dtype", AMP_DTYPES)
    if dtype == "float16" and not torch.cuda.is_available():
        raise ValueError(
            "AMP in float16 needs a GPU: on a CPU, torch's autocast only trains in bfloat16. Use --amp-dtype bfloat16."
        )
    # Convert all or none: a GAN with its networks in different precisions would train without any warning.
    members = _members(optim_wrapper)
    if not members:
        raise ValueError("AMP found no optimizer in optim_wrapper.")
    for name, member in members.items():
        kind = _class_name(member.get("type", "OptimWrapper"))
        if kind not in _EXCHANGEABLE:
            raise ValueError(
                f"AMP can't convert the wrapper {kind} of optim_wrapper{f'.{name}' if name else ''}. Set its precision "
                f"in the config, or use one of {', '.join(_EXCHANGEABLE)}."
            )
    # Replace the wrappers, and keep their other settings.
    for member in members.values():
        if dtype == "bfloat16":
            member["type"] = "nda_mm.BF16OptimWrapper"
            for scaling in ("loss_scale", "dtype", "use_fsdp"):
                member.pop(scaling, None)
        else:
            member["type"] = "AmpOptimWrapper"
            member["dtype"] = dtype
            member.setdefault("loss_scale", "dynamic")
    return list(members)


def check_amp_model(model: dict[str, Any]) -> None:
    """Raise an error for a model that ignores the mixed precision of its optimizer wrappers.

    Args:
        model: The config's ``model``.

    Raises:
        ValueError: If it is a StyleGAN2 or StyleGAN3.

    Example:
        >>> check_amp_model(dict(type="nda_mm.NDABigGAN"))
    """
    kind = _class_name(model.get("type", ""))
    if kind in _WITHOUT_AUTOCAST:
        raise ValueError(
            f"AMP has no effect on {kind}, whose networks' own settings decide the precision. Set "
            "model.generator.num_fp16_scales and model.discriminator.num_fp16_scales (4: float16 at the four largest "
            "resolutions, on a GPU) instead of --amp."
        )


def _members(optim_wrapper: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if "optimizer" in optim_wrapper:
        return {"": optim_wrapper}
    return {
        name: member for name, member in optim_wrapper.items() if isinstance(member, dict) and "optimizer" in member
    }


def _class_name(kind: Any) -> str:
    return (kind if isinstance(kind, str) else kind.__name__).split(".")[-1]


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """An optimizer wrapper whose forward passes run under autocast to bfloat16.

    mmengine 0.10's ``AmpOptimWrapper`` works on a GPU only, and scales the loss. bfloat16 has the range of float32, so
    no gradient underflows and no loss scale is needed. Weights, gradients and the optimizer stay in float32. So do the
    few convolutions that a CPU computes incorrectly; see :class:`SmallConvolutionsInFloat32`.

    Args:
        optimizer: The optimizer.
        kwargs: Other arguments of mmengine's ``OptimWrapper``: ``accumulative_counts``, ``clip_grad``.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> wrapper = BF16OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1))
        >>> with wrapper.optim_context(layer):
        ...     layer(torch.ones(1, 2)).dtype
        torch.bfloat16
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enable autocast inside mmengine's context for gradient accumulation.

        Args:
            model: The model, or the part of it, that is about to run.
        """
        first = next(model.parameters(), None)
        # A GPU's convolutions are correct, and checking every operation would delay it.
        workaround = nullcontext() if first is not None and first.is_cuda else SmallConvolutionsInFloat32()
        with super().optim_context(model), autocast(dtype=torch.bfloat16), workaround:
            yield

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load an optimizer's state. The loss scaler of a run in float16 is ignored.

        Args:
            state_dict: State of this class or of mmengine's other wrappers.
        """
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "loss_scaler"})


class SmallConvolutionsInFloat32(TorchFunctionMode):
    """Context that exempts CPU convolutions from autocast if the kernel exceeds the input in some dimension.

    oneDNN 3.10.2, which torch 2.11 uses, computes a wrong **weight gradient** of such a convolution in bfloat16 on
    processors with AVX-512 BF16: it reads uninitialized memory. Seen with kernels of 3 frames on inputs of 2, as in the
    last stage of every 3-D ResNet on short clips, and of 3x3 on 1x1 with stride 2. The output and the input's gradient
    are correct, so only the loss reveals the error. Such inputs are small, so float32 costs next to nothing.

    Layers recomputed in the backward pass (``torch.utils.checkpoint``) are not covered.

    Example:
        >>> layer, clip = torch.nn.Conv3d(4, 4, 3, padding=1), torch.ones(1, 4, 2, 8, 8)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), SmallConvolutionsInFloat32():
        ...     layer(clip).dtype, layer(clip.repeat(1, 1, 2, 1, 1)).dtype
        (torch.float32, torch.bfloat16)
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS and len(args) >= 2 and torch.is_autocast_enabled("cpu"):
            x, weight = args[:2]
            spatial = weight.ndim - 2
            if not x.is_cuda and any(k > n for k, n in zip(weight.shape[-spatial:], x.shape[-spatial:])):
                wide: Any = [value.float() if isinstance(value, torch.Tensor) else value for value in args]
                with torch.autocast("cpu", enabled=False):
                    return func(*wide, **kwargs)
        return func(*args, **kwargs)
