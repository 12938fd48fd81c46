"""A GAN's networks: initial weights, compiled with the gradients of the eager ones, and augmentation before them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.logging import MMLogger
from scipy import stats
from torch import Tensor, nn

pytest.importorskip("mmagic")

from mmagic.models.editors.biggan.biggan_snmodule import SNConv2d
from tiny_biggan import build, networks
from tiny_gans import CASES, MirroredNegative, differing

from nda_mm.models import ADA, DiffAugment, NDABigGAN
from nda_mm.models.gans.networks import _warn_once, compile_network


class Network(nn.Module):
    """Two normalized layers. No ``Sequential``, which PyTorch compiles layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.spectral_norm(nn.Conv2d(3, 4, 3, padding=1))
        self.second = nn.utils.spectral_norm(nn.Conv2d(4, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


def network() -> Network:
    torch.manual_seed(0)
    return Network().double()


def steps(model: nn.Module, device: str = "cpu", passes: int = 2) -> list[Tensor]:
    """Outputs and gradients of two steps of so many forward passes before the backward one; then the state."""
    generator = torch.Generator().manual_seed(1)
    found: list[Tensor] = []
    for _ in range(2):
        model.zero_grad()
        loss: Any = 0
        for _ in range(passes):
            out = model(torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64).to(device))
            found.append(out.detach().cpu())
            loss = loss + out.square().mean()
        loss.backward()
        found += [parameter.grad.cpu().clone() for parameter in model.parameters() if parameter.grad is not None]
    return [*found, *[value.clone().cpu() for value in model.state_dict().values()]]


def compiled(device: str, **options: Any) -> nn.Module:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = network().to(device)
    compile_network(model, **options)
    return model


def test_traced_whole_they_compute_the_same(device: str) -> None:
    model, eager = compiled(device, backend="aot_eager"), network()
    places = [buffer.data_ptr() for buffer in model.buffers()]
    for found, expected in zip(steps(model, device), steps(eager), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert list(model.state_dict()) == list(eager.state_dict())
    assert [buffer.data_ptr() for buffer in model.buffers()] == places, "a recorded CUDA graph would read the old ones"
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1, "compiled anew in each step"
    gan = build(compile_networks=dict(backend="eager"))
    assert all(network._compiled_call_impl is not None for network in (gan.generator, gan.discriminator))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])  # the second by CUDA graphs, on a GPU
def test_compiled_they_compute_the_same(device: str, mode: str) -> None:
    """The gradients of PyTorch's own hook are off by tens of per cent here."""
    model = compiled(device, mode=mode)
    for found, expected in zip(steps(model, device, passes=1), steps(network(), passes=1), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_in_evaluation_the_hook_is_pytorchs_bit_for_bit() -> None:
    ours = network()
    compile_network(ours, backend="eager")
    x = torch.ones(1, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(ours.eval()(x), network().eval()(x))


def test_mmagics_own_spectral_norm_is_not_compiled() -> None:
    with pytest.raises(ValueError, match="compile_networks.*sn_style='ajbrock'"):
        compile_network(nn.Sequential(SNConv2d(3, 4, 3)))


def slope_along_weight(model: Any) -> float:
    """The cosine between a weight and its gradient, 0 if that passes through sigma: the length does not matter then."""
    model.discriminator(torch.ones(1, 3, 32, 32), label=torch.tensor([0])).square().sum().backward()
    weight = next(each for each in model.discriminator.parameters() if each.ndim == 4)
    return float(torch.cosine_similarity(weight.detach().flatten(), weight.grad.flatten(), dim=0))


def test_a_style_without_gradient_through_sigma_is_warned_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    MMLogger.get_instance("test_sn_style", log_level="WARNING")
    _warn_once.cache_clear()
    assert abs(slope_along_weight(build())) < 1e-3
    assert "sn_style" not in capsys.readouterr().out
    for _ in range(2):
        assert abs(slope_along_weight(build(sn_style="ajbrock"))) > 0.01
    assert capsys.readouterr().out.count("sn_style='torch'") == 1


def moved(**settings: Any) -> Any:
    """A model with weights drawn after a move, as mmengine does it. A change of type is a move, too."""
    model = NDABigGAN(**{**networks(), **settings}).to(torch.float64).to(torch.float32)
    torch.manual_seed(0)
    model.init_weights()
    return model


def test_initial_weights_are_the_recipes_after_a_move() -> None:
    """mmagic's own are not."""
    layers = [m for m in moved().discriminator.modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 500]
    stds = torch.stack([layer.weight_orig.detach().std() for layer in layers])
    torch.testing.assert_close(stds, torch.full((7,), 0.02), rtol=0.1, atol=0)
    still = NDABigGAN(**networks())
    torch.manual_seed(0)
    still.init_weights()
    changed = {name for name in differing(still, moved()) if not name.endswith(("weight_u", "weight_v"))}
    assert all(name.startswith("generator_ema.") for name in changed)


def test_biases_are_pytorchs_where_asked_for() -> None:
    """Weights are N(0, 0.02), biases uniform within 1 / sqrt(fan-in)."""
    settings = networks()
    for part in ("generator", "discriminator"):
        settings[part]["base_channels"] = 8
    model = moved(**settings, uniform_biases=True)
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and m.bias is not None]
    layers = [m for m in layers if m not in set(model.generator_ema.modules())]
    assert len(layers) == 22  # every convolution and linear layer of both networks
    shares = torch.cat([m.bias.detach() * m.weight[0].numel() ** 0.5 for m in layers]).double().numpy()
    assert abs(shares).max() <= 1
    assert stats.kstest(shares, stats.uniform(-1, 2).cdf).pvalue > 0.01
    weights = torch.cat([getattr(m, "weight_orig", m.weight).detach().flatten() for m in layers]).double().numpy()
    assert stats.kstest(weights[:20_000], stats.norm(0, 0.02).cdf).pvalue > 0.01


def test_loaded_biases_are_kept(tmp_path: Any) -> None:
    settings = networks()
    first = moved(uniform_biases=True)
    torch.save(first.generator.state_dict(), tmp_path / "generator.pth")
    settings["generator"]["init_cfg"] = dict(type="Pretrained", checkpoint=str(tmp_path / "generator.pth"))
    assert not differing(first.generator, moved(**settings, uniform_biases=True).generator)


class Counting(nn.Module):
    """Halves images, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach())
        return x / 2


def seen_in_a_step(name: str, **settings: Any) -> tuple[Any, list[Tensor]]:
    """The model after a step, and the images that passed its augmentation."""
    case, augment = CASES[name], Counting()
    model = case.build(augment=augment, **settings)
    model.train_step(case.batch(), case.optimizers(model))
    return model, augment.seen


@pytest.mark.parametrize(
    ("name", "settings", "counts"),
    [
        ("SNGAN", dict(discriminator_forward="joint"), [12, 4]),  # the last is the generator's step
        ("SNGAN", dict(discriminator_forward="separate"), [4, 4, 4, 4]),
        ("WGANGP", {}, [12, 4, 4]),  # the second is the gradient penalty
    ],
)
def test_every_kind_of_image_in_both_networks_steps_is_augmented(name, settings, counts):
    _, seen = seen_in_a_step(name, negative=MirroredNegative(), **settings)
    assert [len(images) for images in seen] == counts
    fake, real, negative = torch.cat(seen)[:12].chunk(3)
    # Made of the real image as it is, before it was augmented.
    assert torch.equal(negative, real.flip(-2))
    assert not torch.equal(fake, real)


def test_the_hosts_own_step_is_augmented_too_and_evaluation_is_not():
    model, seen = seen_in_a_step("DCGAN")
    assert model.uses_base_step(1.0)
    assert [len(images) for images in seen] == [4, 4, 4]
    with torch.no_grad():
        model.eval().discriminator(torch.zeros(2, 3, 32, 32))
    assert len(seen) == 3


def test_it_adds_no_keys_and_is_built_from_a_config():
    case = CASES["DCGAN"]
    model = case.build(augment=dict(type="DiffAugment", policy=["color"]))
    assert isinstance(model.augment, DiffAugment)
    assert list(model.state_dict()) == list(case.build().state_dict())
    with pytest.raises(ValueError, match="policy"):
        case.build(augment=dict(type="nda_mm.DiffAugment", policy=["hue"]))


def test_adas_strength_follows_the_share_of_real_images_held_for_real():
    ada = ADA(aug_pipeline=dict(xflip=1), update_interval=2, ada_kimg=0.1, augment_initial_p=0.5)
    above, at_zero = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[1.0], [2.0], [-3.0], [-4.0]])
    strengths = [
        ada.observe(logits, iteration=iteration)["augment"].item()
        for iteration, logits in enumerate((above, above, at_zero, at_zero))  # mean signs 1 and 0; the target is 0.6
    ]
    assert strengths == pytest.approx([0.5, 0.58, 0.58, 0.5])


def test_ada_runs_in_front_of_another_gan_and_is_saved_with_it():
    case = CASES["DCGAN"]
    settings = dict(type="ADA", aug_pipeline=dict(xflip=1, brightness=1), update_interval=1, augment_initial_p=0.3)
    model = case.build(negative=MirroredNegative(), augment=settings)
    log_vars = model.train_step(case.batch(), case.optimizers(model))
    assert 0 < float(log_vars["augment"]) != pytest.approx(0.3, abs=1e-9)
    again = case.build(negative=MirroredNegative(), augment=settings, seed=3)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.augment.aug_pipeline.p, model.augment.aug_pipeline.p)
    assert not again.uses_base_step(1.0)
