"""Calls of mmcv's operators, and what a compiled mmcv makes of them.

    python tests/compat/mmcv_cases.py tests/compat/data/mmcv_operators.pt

writes the expected values, in an environment with a compiled mmcv 2.1.0. (Made on 2026-11-27 on a CPU, torch 2.11.0,
from mmcv's own sources of these operators.) Inputs are drawn by fixed seeds.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Case = tuple[str, Callable[..., Any], tuple[Any, ...]]
DTYPES = (torch.float32, torch.float64)


def boxes(count: int, size: float, seed: int) -> Tensor:
    """Boxes in an image of ``size``, many of which overlap; some stick out."""
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=draw) * size * 0.8 - 2
    return torch.cat((corner, corner + 1 + torch.rand(count, 2, generator=draw) * size * 0.4), 1)


def operator_cases() -> Iterator[Case]:
    """Names, functions of ``mmcv.ops`` and their arguments."""
    from mmcv import ops

    draw = torch.Generator().manual_seed(0)
    scores = torch.rand(60, generator=draw)
    for threshold, offset in itertools.product((0.3, 0.7), (0, 1)):
        yield f"nms-{threshold}-{offset}", ops.nms, (boxes(60, 30, 1), scores, threshold, offset)
    yield "nms-scores", ops.nms, (boxes(60, 30, 1), scores, 0.5, 0, 0.4, 5)
    yield "nms-empty", ops.nms, (torch.zeros(0, 4), torch.zeros(0), 0.5)
    for method, offset in itertools.product(("naive", "linear", "gaussian"), (0, 1)):
        yield f"soft_nms-{method}-{offset}", ops.soft_nms, (boxes(60, 30, 1), scores, 0.3, 0.5, 0.05, method, offset)
    for dtype, ratio, aligned in itertools.product(DTYPES, (0, 2), (False, True)):
        image = torch.randn(2, 3, 9, 11, generator=draw, dtype=dtype)
        regions = torch.cat((torch.tensor([0.0, 1, 1, 0, 1])[:, None], boxes(5, 40, 2)), 1).to(dtype)
        name = f"roi_align-{dtype}-{ratio}-{aligned}"
        yield name, ops.roi_align, (image, regions, (3, 2), 0.25, ratio, "avg", aligned)
    for dtype, (groups, shared), stride in itertools.product(DTYPES, ((1, 1), (2, 1), (1, 2)), (1, 2)):
        image = torch.randn(2, 4, 6, 7, generator=draw, dtype=dtype)
        weight = torch.randn(4, 4 // groups, 3, 3, generator=draw, dtype=dtype)
        rows, columns = (6 - 1) // stride + 1, (7 - 1) // stride + 1
        offset = torch.randn(2, shared * 18, rows, columns, generator=draw, dtype=dtype)
        mask = torch.rand(2, shared * 9, rows, columns, generator=draw, dtype=dtype)
        geometry = (stride, 1, 1, groups, shared)
        name = f"{dtype}-{groups}-{shared}-{stride}"
        yield f"deform_conv-{name}", ops.deform_conv2d, (image, offset, weight, *geometry)
        for bias in (None, torch.randn(4, generator=draw, dtype=dtype)):
            arguments = (image, offset, mask, weight, bias, *geometry)
            yield f"modulated_deform_conv-{name}-{bias is not None}", ops.modulated_deform_conv2d, arguments


def results_of(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Tensor]:
    """Outputs and, where there are any, the gradients of every floating tensor for a fixed incoming one."""
    inputs = [each.clone() if isinstance(each, Tensor) else each for each in arguments]
    differentiable = "nms" not in function.__name__ if hasattr(function, "__name__") else True
    leaves = [each for each in inputs if differentiable and isinstance(each, Tensor) and each.is_floating_point()]
    for leaf in leaves:
        leaf.requires_grad_()
    output = function(*inputs)
    if not differentiable:
        return list(output)
    incoming = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    gradients = torch.autograd.grad(output, leaves, incoming, allow_unused=True)
    return [output.detach(), *(gradient for gradient in gradients if gradient is not None)]


def detector_results(name: str) -> dict[str, Tensor]:
    """Losses, the norm of every part's gradients, and predictions of a small detector with fixed random weights.

    Args:
        name: ``retinanet``, ``faster_rcnn_fpn`` or ``faster_rcnn_c4``, each from mmdet's own recipe, made narrow.
    """
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    from mmengine.structures import InstanceData

    register_all_modules()
    recipes = {
        "retinanet": "retinanet_r50_fpn.py",
        "faster_rcnn_fpn": "faster-rcnn_r50_fpn.py",
        "faster_rcnn_c4": "faster-rcnn_r50-caffe-c4.py",
    }
    config = Config.fromfile(f"{mmdet.__path__[0]}/.mim/configs/_base_/models/{recipes[name]}").model
    config.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(config).train()
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 1 / max(1, parameter[0].numel()) ** 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * scale)
    samples = []
    for seed in (4, 5):
        shapes = dict.fromkeys(("img_shape", "ori_shape", "pad_shape", "batch_input_shape"), (64, 96))
        sample = DetDataSample(metainfo=dict(scale_factor=(1.0, 1.0), **shapes))
        sample.gt_instances = InstanceData(bboxes=boxes(3, 60, seed).clamp(0), labels=torch.tensor([1, 2, 3]))
        samples.append(sample)
    images = torch.randn(2, 3, 64, 96, generator=draw)
    torch.manual_seed(1)  # samplers draw
    losses = model(images, samples, mode="loss")
    terms = {key: sum(value) if isinstance(value, list) else value for key, value in losses.items()}
    total = sum(value for key, value in terms.items() if "loss" in key)
    total.backward()
    results = {key: value.detach() for key, value in terms.items()}
    for part, module in model.named_children():
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        if gradients:
            results[f"gradient of {part}"] = torch.stack([gradient.norm() for gradient in gradients]).norm()
    with torch.no_grad():
        found = model.eval()(images, samples, mode="predict")[0].pred_instances
    return results | {"boxes": found.bboxes[:20], "scores": found.scores[:20], "labels": found.labels[:20]}


DETECTORS = ("retinanet", "faster_rcnn_fpn", "faster_rcnn_c4")

if __name__ == "__main__":
    expected: dict[str, Any] = {name: results_of(function, arguments) for name, function, arguments in operator_cases()}
    torch.save(expected | {name: detector_results(name) for name in DETECTORS}, sys.argv[1])
