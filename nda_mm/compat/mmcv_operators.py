"""mmcv's compiled operators in torch and torchvision, for an mmcv that was installed without them (mmcv-lite).

mmcv keeps the Python code of its operators in ``mmcv/ops`` and their kernels in a compiled module, ``mmcv._ext``. The
functions here have the same names and arguments as those kernels, and fill the output tensors that are passed in.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import ops

__all__ = ["OPERATORS", "use_python_on_gpus"]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes to keep, best first. With ``offset`` 1 box sides are inclusive pixels."""
    end = boxes.new_tensor([0, 0, offset, offset])
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()  # mmcv compares in single precision
    return ops.nms((boxes + end).float(), scores.float(), threshold)


def softnms(boxes: Tensor, scores: Tensor, dets: Tensor, **settings: Any) -> Tensor:
    """Soft-NMS (Bodla et al., 2017): naive (0), linear (1) or Gaussian (2); fills ``dets`` and returns the indices."""
    offset, method = settings["offset"], settings["method"]
    # `left` holds the decaying scores, `places` the indices of the boxes that are neither kept nor dropped.
    area = (boxes[:, 2:] - boxes[:, :2] + offset).prod(1)
    left, places = scores.clone(), torch.arange(len(boxes))
    kept: list[int] = []
    while len(places):
        best = places[left[places].argmax()]
        dets[len(kept)] = torch.cat((boxes[best], left[best, None]))
        kept.append(int(best))
        places = places[places != best]
        # Decay the scores of the others by their overlap with the best box.
        corner = torch.minimum(boxes[best, 2:], boxes[places, 2:]) - torch.maximum(boxes[best, :2], boxes[places, :2])
        inter = (corner + offset).clamp(min=0).prod(1)
        iou = inter / (area[best] + area[places] - inter)
        if method == 2:
            decay = torch.exp(-(iou**2) / settings["sigma"])
        else:
            reduced = 1 - iou if method == 1 else torch.zeros_like(iou)
            decay = torch.where(iou >= settings["iou_threshold"], reduced, 1.0)
        left[places] *= decay
        places = places[left[places] >= settings["min_score"]]
    return torch.tensor(kept, dtype=torch.long)


def _wide(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast half precision to single precision, as torchvision's CPU kernels require."""
    return tuple(tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor for tensor in tensors)


def _roi_settings(settings: dict[str, Any]) -> tuple[tuple[int, int], float, int, bool]:
    if settings["pool_mode"] != 1:
        raise NotImplementedError("RoIAlign with pool_mode='max' needs a compiled mmcv; use pool_mode='avg'")
    size = (settings["aligned_height"], settings["aligned_width"])
    return size, settings["spatial_scale"], settings["sampling_ratio"], settings["aligned"]


def roi_align_forward(*tensors: Tensor, **settings: Any) -> None:
    """RoIAlign (He et al., 2017) with average pooling; fills ``output``."""
    input, rois, output, _, _ = tensors
    output.copy_(ops.roi_align(*_wide(input, rois), *_roi_settings(settings)))


def roi_align_backward(*tensors: Tensor, **settings: Any) -> None:
    """Gradient of :func:`roi_align_forward`; fills ``grad_input``."""
    grad_output, rois, _, _, grad_input = tensors
    size, scale, ratio, aligned = _roi_settings(settings)
    gradient = torch.ops.torchvision._roi_align_backward(
        *_wide(grad_output, rois), scale, *size, *grad_input.shape, ratio, aligned
    )
    grad_input.copy_(gradient)


def _deform_conv2d(
    tensors: tuple[Tensor | None, ...], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> Tensor:
    input, weight, offset, mask, bias = tensors
    # No group arguments: torchvision infers the groups of channels and of offsets from the shapes.
    return ops.deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)


def _deform_conv2d_gradients(tensors: tuple[Tensor | None, ...], grad_output: Tensor, *geometry: Any) -> list[Tensor]:
    """Return the gradients for those of input, weight, offset, mask and bias that are not None."""
    with torch.enable_grad():
        leaves = tuple(None if tensor is None else tensor.detach().requires_grad_() for tensor in tensors)
        output = _deform_conv2d(leaves, *geometry)
    return list(torch.autograd.grad(output, [leaf for leaf in leaves if leaf is not None], grad_output))


def _plain_geometry(settings: dict[str, int]) -> tuple[tuple[int, int], ...]:
    return tuple((settings[f"{name}H"], settings[f"{name}W"]) for name in ("d", "pad", "dilation"))


def deform_conv_forward(*tensors: Tensor, **settings: int) -> None:
    """Deformable convolution (Dai et al., 2017); fills ``output``."""
    input, weight, offset, output, _, _ = tensors
    output.copy_(_deform_conv2d((input, weight, offset, None, None), *_plain_geometry(settings)))


def deform_conv_backward_input(*tensors: Tensor, **settings: int) -> None:
    """Gradients of :func:`deform_conv_forward` for input and offset; fills ``grad_input`` and ``grad_offset``."""
    input, offset, grad_output, grad_input, grad_offset, weight, _ = tensors
    gradients = _deform_conv2d_gradients((input, weight, offset, None, None), grad_output, *_plain_geometry(settings))
    grad_input.copy_(gradients[0])
    grad_offset.copy_(gradients[2])


def deform_conv_backward_parameters(*tensors: Tensor, scale: float, **settings: int) -> None:
    """Gradient of :func:`deform_conv_forward` for the weight, times ``scale``; added to ``grad_weight``."""
    input, offset, grad_output, grad_weight, _, _ = tensors
    weight = torch.zeros_like(grad_weight)
    gradients = _deform_conv2d_gradients((input, weight, offset, None, None), grad_output, *_plain_geometry(settings))
    grad_weight.add_(gradients[1], alpha=scale)


def _modulated_geometry(settings: dict[str, int]) -> tuple[tuple[int, int], ...]:
    return tuple((settings[f"{name}_h"], settings[f"{name}_w"]) for name in ("stride", "pad", "dilation"))


def modulated_deform_conv_forward(*tensors: Tensor, with_bias: bool, **settings: int) -> None:
    """Modulated deformable convolution (Zhu et al., 2019); fills ``output``."""
    input, weight, bias, _, offset, mask, output, _ = tensors
    given = (input, weight, offset, mask, bias if with_bias else None)
    output.copy_(_deform_conv2d(given, *_modulated_geometry(settings)))


def modulated_deform_conv_backward(*tensors: Tensor, with_bias: bool, **settings: int) -> None:
    """Gradients of :func:`modulated_deform_conv_forward`; fills five tensors, ``grad_bias`` only with a bias."""
    input, weight, bias, _, offset, mask, _, *targets, grad_output = tensors
    given = (input, weight, offset, mask, bias if with_bias else None)
    gradients = _deform_conv2d_gradients(given, grad_output, *_modulated_geometry(settings))
    grad_input, grad_weight, grad_bias, grad_offset, grad_mask = targets
    for target, gradient in zip((grad_input, grad_weight, grad_offset, grad_mask, grad_bias), gradients):
        target.copy_(gradient)


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al., 2017) of (N, C) logits and (N,) class indices, C for background; fills ``output``."""
    positive = F.one_hot(target, input.shape[1] + 1)[:, :-1]
    output.copy_(ops.sigmoid_focal_loss(input, positive.to(input), alpha, gamma))
    if len(weight):
        output.mul_(weight[target, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of :func:`sigmoid_focal_loss_forward` for an incoming gradient of 1; fills ``grad_input``.

    Uses the closed form, because autograd is not finite for large logits and ``gamma`` below 1.
    """
    positive, p = F.one_hot(target, input.shape[1] + 1)[:, :-1].bool(), input.sigmoid()
    right = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * F.logsigmoid(input))
    wrong = -(1 - alpha) * p**gamma * (gamma * (1 - p) * F.logsigmoid(-input) - p)
    grad_input.copy_(torch.where(positive, right, wrong))
    if len(weight):
        grad_input.mul_(weight[target, None])


def get_compiler_version() -> str:
    """Return the text that environment reports show in place of a compiler."""
    return "none, operators of nda_mm.compat.mmcv_operators"


def get_compiling_cuda_version() -> str:
    """Return the text that environment reports show in place of a CUDA compiler."""
    return get_compiler_version()


#: The operators that ``mmcv._ext`` is given, by name.
OPERATORS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        nms,
        softnms,
        roi_align_forward,
        roi_align_backward,
        deform_conv_forward,
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        modulated_deform_conv_forward,
        modulated_deform_conv_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        get_compiler_version,
        get_compiling_cuda_version,
    )
}


def use_python_on_gpus() -> None:
    """Make StyleGAN's operators and deformable attention use mmcv's own Python code on a GPU, as they do on a CPU."""

    def python_kernels(python: Callable[..., Tensor], tensors: int) -> Callable[..., SimpleNamespace]:
        return lambda **settings: SimpleNamespace(apply=lambda *args: python(*args[:tensors], **settings))

    names = ("upfirdn2d", "bias_act", "filtered_lrelu", "fused_bias_leakyrelu", "multi_scale_deform_attn")
    modules: list[Any] = [importlib.import_module(f"mmcv.ops.{name}") for name in names]
    upfirdn2d, bias_act, filtered, fused, attention = modules
    upfirdn2d._upfirdn2d_cuda = python_kernels(upfirdn2d._upfirdn2d_ref, 2)
    bias_act._bias_act_cuda = python_kernels(bias_act._bias_act_ref, 2)
    filtered._filtered_lrelu_cuda = python_kernels(filtered._filtered_lrelu_ref, 4)
    fused.FusedBiasLeakyReLUFunction = SimpleNamespace(apply=fused.bias_leakyrelu_ref)
    attend = attention.multi_scale_deformable_attn_pytorch
    attention.MultiScaleDeformableAttnFunction = SimpleNamespace(
        apply=lambda value, shapes, start, locations, weights, step: attend(value, shapes, locations, weights)
    )
