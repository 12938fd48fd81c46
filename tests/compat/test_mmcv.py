"""The operators that stand in for mmcv's compiled ones, held against those."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import mmcv_cases
import pytest
import torch
from torch import Tensor

from nda_mm.compat import apply_patches
from nda_mm.compat.mmcv import OperatorModule
from nda_mm.compat.mmcv_operators import use_python_on_gpus

apply_patches("mmcv")
ops = pytest.importorskip("mmcv.ops")
EXPECTED = torch.load(Path(__file__).parent / "data" / "mmcv_operators.pt", weights_only=True)


@pytest.fixture(autouse=True)
def ours(monkeypatch) -> None:
    """Have mmcv call our operators, whatever it was installed with."""
    for name in ("nms", "roi_align", "deform_conv", "modulated_deform_conv", "focal_loss", "info", "carafe"):
        monkeypatch.setattr(importlib.import_module(f"mmcv.ops.{name}"), "ext_module", OperatorModule())


@pytest.mark.parametrize("operator", ["nms", "soft_nms", "roi_align", "deform_conv", "modulated_deform_conv"])
def test_outputs_and_gradients_are_the_compiled_ones(operator: str) -> None:
    cases = [case for case in mmcv_cases.operator_cases() if case[0].split("-")[0] == operator]
    assert cases
    for name, function, arguments in cases:
        results = mmcv_cases.results_of(function, arguments)
        assert len(results) == len(EXPECTED[name])
        for ours, compiled in zip(results, EXPECTED[name], strict=True):
            torch.testing.assert_close(ours, compiled, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.slow
@pytest.mark.parametrize("name", mmcv_cases.DETECTORS)
def test_detectors_train_and_predict_as_with_the_compiled_ones(name: str) -> None:
    pytest.importorskip("mmdet.models")
    results = mmcv_cases.detector_results(name)
    assert results.keys() == EXPECTED[name].keys()
    for key, compiled in EXPECTED[name].items():
        torch.testing.assert_close(
            results[key], compiled, rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


def focal_loss(logits: Tensor, target: Tensor, weight: Tensor | None, gamma: float, alpha: float) -> Tensor:
    """Lin et al., equation 5, one entry at a time."""
    rows = []
    for row, right in zip(logits, target.tolist(), strict=True):
        for column, logit in enumerate(row):
            p = 1 / (1 + torch.exp(-logit))
            p, share = (p, alpha) if column == right else (1 - p, 1 - alpha)
            rows.append(-share * (1 - p) ** gamma * torch.log(p) * (1 if weight is None else weight[right]))
    return torch.stack(rows).view_as(logits)


@pytest.mark.parametrize(
    ("dtype", "gamma", "weighted"),
    [(torch.float32, 2.0, False), (torch.float64, 0.5, True), (torch.float64, 2.0, False)],
)
def test_sigmoid_focal_loss(dtype: torch.dtype, gamma: float, weighted: bool) -> None:
    # mmcv compiles this operator for GPUs alone, so the reference is the formula.
    draw = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 4, generator=draw, dtype=dtype)
    logits.requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 3, 0] if weighted else [0, 1, 2, 3, 4, 4])  # 4 is background
    weight = torch.rand(4, generator=draw, dtype=dtype) if weighted else None
    expected = focal_loss(logits, target, weight, gamma, 0.3)
    result = ops.sigmoid_focal_loss(logits, target, gamma, 0.3, weight, "none")
    torch.testing.assert_close(result, expected)
    incoming = torch.linspace(-1, 1, result.numel(), dtype=dtype).view_as(result)
    [ours], [true] = (torch.autograd.grad(value, logits, incoming) for value in (result, expected))
    torch.testing.assert_close(ours, true)


def test_half_precision_is_computed_in_single() -> None:
    image = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    regions = torch.tensor([[0.0, 1, 1, 6, 6]]).bfloat16()
    result = ops.roi_align(image, regions, 2, 1.0, 0, "avg", True)
    torch.testing.assert_close(result, ops.roi_align(image.float(), regions.float(), 2, 1.0, 0, "avg", True).bfloat16())
    assert len(ops.nms(regions[:, 1:], torch.ones(1).bfloat16(), 0.5)[1]) == 1


def test_an_operator_that_is_not_supplied_names_itself_and_the_remedy() -> None:
    with pytest.raises(NotImplementedError, match=r"carafe_forward .*compiled mmcv"):
        ops.carafe(torch.rand(1, 4, 4, 4), torch.rand(1, 9, 8, 8), 3, 1, 2)
    with pytest.raises(NotImplementedError, match="pool_mode='max'"):
        ops.roi_align(torch.rand(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 3, 3]]), 2, 1.0, 0, "max", True)


def test_the_python_code_that_a_gpu_is_led_to_is_the_cpus(monkeypatch) -> None:
    names = ("upfirdn2d", "bias_act", "filtered_lrelu", "fused_bias_leakyrelu", "multi_scale_deform_attn")
    modules = [importlib.import_module(f"mmcv.ops.{name}") for name in names]
    kernels = ("_upfirdn2d_cuda", "_bias_act_cuda", "_filtered_lrelu_cuda")
    kernels += ("FusedBiasLeakyReLUFunction", "MultiScaleDeformableAttnFunction")
    for module, name in zip(modules, kernels, strict=True):
        monkeypatch.setattr(module, name, getattr(module, name))  # put back after the test
    use_python_on_gpus()
    upfirdn2d, bias_act, filtered, fused, attention = modules
    x, taps, bias = torch.randn(2, 3, 8, 8), torch.tensor([1.0, 3, 3, 1]) / 8, torch.randn(3)
    value, shapes = torch.randn(1, 20, 2, 4), torch.tensor([[4, 4], [2, 2]])
    places, weights = torch.rand(1, 5, 2, 2, 3, 2), torch.rand(1, 5, 2, 2, 3)
    up = dict(up=2, down=1, padding=(2, 1, 2, 1), flip_filter=False, gain=4)
    act = dict(dim=1, act="lrelu", alpha=0.2, gain=1.5, clamp=None)
    filter = dict(up=2, down=2, padding=3, gain=1.4, slope=0.2, clamp=None, flip_filter=False)
    attend = attention.MultiScaleDeformableAttnFunction.apply
    for on_gpu, on_cpu in (
        (upfirdn2d._upfirdn2d_cuda(**up).apply(x, taps), upfirdn2d.upfirdn2d(x, taps, **up)),
        (bias_act._bias_act_cuda(**act).apply(x, bias), bias_act.bias_act(x, bias, **act)),
        (
            filtered._filtered_lrelu_cuda(**filter).apply(x, taps, taps, bias, None, 0, 0),
            filtered.filtered_lrelu(x, taps, taps, bias, **filter),
        ),
        (fused.FusedBiasLeakyReLUFunction.apply(x, bias, 0.2, 2**0.5), fused.fused_bias_leakyrelu(x, bias)),
        (
            attend(value, shapes, torch.tensor([0, 16]), places, weights, 64),
            attention.multi_scale_deformable_attn_pytorch(value, shapes, places, weights),
        ),
    ):
        torch.testing.assert_close(on_gpu, on_cpu)


FRESH = """
import sys
from nda_mm.compat.mmcv import MMCVLite, OperatorModule
patch = MMCVLite()
lite = patch.needed()
print(lite)
if lite:
    patch.apply()
import torch
torch.cuda.is_available = lambda: True  # while mmcv.ops is imported
loaded = {'mmcv', 'torchvision'} & set(sys.modules)
import mmcv.ops
torch.cuda.is_available = lambda: False
on_gpus = sys.modules['mmcv.ops.fused_bias_leakyrelu'].FusedBiasLeakyReLUFunction
assert not lite or not loaded and not isinstance(on_gpus, type), (loaded, on_gpus)
from mmengine.model import revert_sync_batchnorm
from mmengine.utils.dl_utils import collect_env
revert_sync_batchnorm(torch.nn.SyncBatchNorm(2))
collect_env()
print(isinstance(sys.modules['mmcv._ext'], OperatorModule), patch.needed())
"""


@pytest.mark.slow
def test_it_is_put_in_where_mmcv_has_none_and_the_environment_can_be_reported() -> None:
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", FRESH], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    was_needed, is_ours, still_needed = result.stdout.split()
    assert was_needed == is_ours  # a compiled mmcv is left alone
    assert still_needed == "False"
