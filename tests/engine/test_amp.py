"""Mixed precision: every optimizer, or none and the reason."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from nda_mm.engine.amp import IGNORING, check_model, enable_amp
from nda_mm.engine.bf16_optim_wrapper import BF16OptimWrapper
from nda_mm.registry import OPTIM_WRAPPERS


def two(**settings: Any) -> dict[str, Any]:
    return dict(
        constructor="MultiOptimWrapperConstructor",
        generator=dict(optimizer=dict(type="Adam", lr=1e-4), accumulative_counts=2),
        discriminator=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4), **settings),
    )


def test_every_optimizer_is_converted_and_keeps_its_settings() -> None:
    config = two(clip_grad=dict(max_norm=1.0))
    assert enable_amp(config, "bfloat16") == ["generator", "discriminator"]
    assert [config[name]["type"] for name in ("generator", "discriminator")] == ["nda_mm.BF16OptimWrapper"] * 2
    assert config["generator"]["accumulative_counts"] == 2
    assert config["discriminator"]["clip_grad"] == dict(max_norm=1.0)
    single = dict(optimizer=dict(type="SGD", lr=0.1), type="AmpOptimWrapper", loss_scale=512.0)
    assert enable_amp(single, "bfloat16") == [""]
    assert single == dict(optimizer=dict(type="SGD", lr=0.1), type="nda_mm.BF16OptimWrapper")


def test_float16_takes_mmengines_wrapper_with_its_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = two(loss_scale=256.0)
    enable_amp(config, "float16")
    assert config["generator"]["type"] == config["discriminator"]["type"] == "AmpOptimWrapper"
    assert config["generator"]["loss_scale"] == "dynamic"
    assert config["discriminator"]["loss_scale"] == 256.0


def test_converts_none_if_one_cannot_be() -> None:
    config = two()
    config["discriminator"]["type"] = "ApexOptimWrapper"
    with pytest.raises(
        ValueError, match=r"AMP can't convert optimizer 'discriminator': its wrapper ApexOptimWrapper has"
    ):
        enable_amp(config, "bfloat16")
    assert "type" not in config["generator"]
    with pytest.raises(ValueError, match=r"AMP can't convert optim_wrapper\['other'\]"):
        enable_amp({**two(), "other": 3}, "bfloat16")
    with pytest.raises(ValueError, match="AMP found no optimizer"):
        enable_amp({}, "bfloat16")
    with pytest.raises(ValueError, match="must be one of bfloat16, float16, but got 'float8'"):
        enable_amp(two(), "float8")


@pytest.mark.skipif(torch.cuda.is_available(), reason="float16 is refused only where there is no GPU")
def test_float16_is_refused_on_a_cpu() -> None:
    with pytest.raises(ValueError, match=r"AMP in float16 needs a GPU.*--amp-dtype bfloat16"):
        enable_amp(two(), "float16")


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
    momentum = wrapper.optimizer.state[layer.weight]["momentum_buffer"]
    assert torch.equal(momentum, torch.ones(2, 2))
    assert "loss_scaler" in state


def test_models_that_would_not_heed_it_are_refused() -> None:
    with pytest.raises(ValueError, match=r"AMP would do nothing: NDAStyleGAN2 .*model\.generator\.num_fp16_scales"):
        check_model(dict(type="nda_mm.NDAStyleGAN2"))
    check_model(dict(type="nda_mm.NDAStyleGAN1"))
    check_model({})


def test_the_refused_are_those_of_mmagics_gans_whose_step_never_enters_the_wrappers_context() -> None:
    editors = pytest.importorskip("mmagic.models.editors")
    base = pytest.importorskip("mmagic.models.base_models.base_gan").BaseGAN
    gans = [each for each in vars(editors).values() if inspect.isclass(each) and issubclass(each, base)]
    assert len(gans) > 10
    deaf = {each.__name__ for each in gans if ".optim_context(" not in inspect.getsource(each.train_step)}
    deaf -= {"EG3D", "PESinGAN", "SinGAN"}  # the first has no training, the others enter it one call further down
    assert deaf == {name for name in IGNORING if not name.startswith("NDA")}
    assert {f"NDA{name}" for name in deaf} == {name for name in IGNORING if name.startswith("NDA")}
