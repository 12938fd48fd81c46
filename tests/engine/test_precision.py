"""Mixed precision: the option, the wrapper, and a GAN trained by it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from nda_mm.engine.precision import (
    _WITHOUT_AUTOCAST,
    BF16OptimWrapper,
    SmallConvolutionsInFloat32,
    check_amp_model,
    enable_amp,
)
from nda_mm.registry import OPTIM_WRAPPERS


def two(**settings: Any) -> dict[str, Any]:
    return dict(
        constructor="MultiOptimWrapperConstructor",
        generator=dict(optimizer=dict(type="Adam", lr=1e-4), accumulative_counts=2),
        discriminator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4), **settings),
    )


def test_every_optimizer_is_converted_and_keeps_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    config = two(clip_grad=dict(max_norm=1.0))
    assert enable_amp(config, "bfloat16") == ["generator", "discriminator"]
    assert [config[name]["type"] for name in ("generator", "discriminator")] == ["nda_mm.BF16OptimWrapper"] * 2
    assert config["generator"]["accumulative_counts"] == 2
    assert config["discriminator"]["clip_grad"] == dict(max_norm=1.0)
    single = dict(optimizer=dict(type="SGD", lr=0.1), type="AmpOptimWrapper", loss_scale=512.0)
    assert enable_amp(single, "bfloat16") == [""]
    assert single == dict(optimizer=dict(type="SGD", lr=0.1), type="nda_mm.BF16OptimWrapper")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for dtype, message in (("float16", "needs a GPU"), ("float32", "AMP dtype")):
        with pytest.raises(ValueError, match=message):
            enable_amp(two(), dtype)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = two(loss_scale=256.0)
    enable_amp(config, "float16")
    assert config["generator"]["type"] == config["discriminator"]["type"] == "AmpOptimWrapper"
    assert config["generator"]["loss_scale"] == "dynamic"
    assert config["discriminator"]["loss_scale"] == 256.0


def test_none_is_converted_if_one_cannot_be() -> None:
    config = two()
    config["discriminator"]["type"] = "ApexOptimWrapper"
    with pytest.raises(ValueError, match=r"optim_wrapper\.discriminator"):
        enable_amp(config, "bfloat16")
    assert "type" not in config["generator"]
    with pytest.raises(ValueError, match="no optimizer"):
        enable_amp({}, "bfloat16")


def test_gans_of_mmagic_that_never_enter_the_wrappers_context_are_refused() -> None:
    with pytest.raises(ValueError, match="NDAStyleGAN2"):
        check_amp_model(dict(type="nda_mm.NDAStyleGAN2"))
    check_amp_model(dict(type="nda_mm.NDAStyleGAN1"))
    check_amp_model({})
    editors = pytest.importorskip("mmagic.models.editors")
    base = pytest.importorskip("mmagic.models.base_models.base_gan").BaseGAN
    gans = [each for each in vars(editors).values() if inspect.isclass(each) and issubclass(each, base)]
    without = {each.__name__ for each in gans if ".optim_context(" not in inspect.getsource(each.train_step)}
    without -= {"EG3D", "PESinGAN", "SinGAN"}  # the first has no training, the others enter it one call further down
    assert set(_WITHOUT_AUTOCAST) == without | {f"NDA{name}" for name in without}


def test_the_forward_runs_in_bfloat16_and_the_weights_stay_in_float32() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(8, 8)
    start, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    wrapper = OPTIM_WRAPPERS.build(
        dict(type="nda_mm.BF16OptimWrapper", optimizer=torch.optim.SGD(layer.parameters(), lr=0.5))
    )
    x = torch.randn(4, 8)
    with wrapper.optim_context(layer):
        output = layer(x)
        loss = output.float().pow(2).sum()
    assert output.dtype == torch.bfloat16
    wrapper.update_params(loss)
    # The same step, written out: the product in bfloat16, its gradient back in float32.
    weight = start.clone().requires_grad_()
    product = nn.functional.linear(x.bfloat16(), weight.bfloat16(), bias.bfloat16())
    product.float().pow(2).sum().backward()
    assert layer.weight.dtype == torch.float32
    assert weight.grad is not None
    torch.testing.assert_close(layer.weight.detach(), start - 0.5 * weight.grad, rtol=0, atol=0)


def test_takes_over_the_state_of_a_float16_run() -> None:
    layer = nn.Linear(2, 2)
    other = OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9))
    other.update_params(layer(torch.ones(1, 2)).sum())
    state = {**other.state_dict(), "loss_scaler": {"scale": 65536.0}}
    wrapper = BF16OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9))
    wrapper.load_state_dict(state)
    assert torch.equal(wrapper.optimizer.state[layer.weight]["momentum_buffer"], torch.ones(2, 2))


@pytest.mark.parametrize(("kind", "size", "stride"), [(nn.Conv3d, (2, 4, 4), 1), (nn.Conv2d, (1, 1), 2)])
def test_gradients_of_convolutions_are_right_to_bfloat16s_precision(kind: Any, size: Any, stride: int) -> None:
    torch.manual_seed(0)
    layer, x = kind(16, 16, 3, stride=stride, padding=1, bias=False), torch.randn(8, 16, *size)
    exact = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    for _ in range(5):  # without the workaround it is garbage that differs from one time to the next
        torch.randn(100_000).mul_(1e3)
        with torch.autocast("cpu", dtype=torch.bfloat16), SmallConvolutionsInFloat32():
            y = layer(x)
        found = torch.autograd.grad(y.float().square().sum(), layer.weight)[0]
        assert (found - exact).abs().max() < 0.02 * exact.abs().max()
