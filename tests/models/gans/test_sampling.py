"""Samples of a GAN: what they depend on, and that drawing them changes nothing."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("mmagic")

from tiny_biggan import NOISE, build, networks, train

from nda_mm.models import NDABigGAN
from nda_mm.models.gans.sampling import sample_classes, sample_images


def draw(model, **settings):
    noise = torch.randn(10, NOISE, generator=torch.Generator().manual_seed(1))
    return sample_images(model, noise, torch.arange(10), **settings)


def test_batch_statistics_are_those_of_train_mode_and_the_model_is_left_as_it_was():
    model = build()
    train(model, 2)  # the first only copies the generator to its EMA
    before = copy.deepcopy(model.state_dict())
    images = draw(model, use_batch_statistics=True, sample_model="orig")
    reference = copy.deepcopy(model.generator).eval()
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
    noise = torch.randn(10, NOISE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = ((reference(noise, label=torch.arange(10)) * 127.5) + 127.5).round().clamp(0, 255).byte()
    assert torch.equal(images, expected[:, [2, 1, 0]])  # the networks see BGR, a viewer RGB
    assert not torch.equal(images, draw(model, sample_model="orig"))
    assert not torch.equal(images, draw(model, use_batch_statistics=True))  # of the EMA
    assert model.generator.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    with pytest.raises(ValueError, match="sample_model"):
        draw(model, sample_model="best")


def test_samples_of_classes_are_determined_by_the_seed():
    model = build()
    images, label = sample_classes(model, 2, [3, 1], seed=5)
    assert label.tolist() == [3, 3, 1, 1]
    assert torch.equal(images, sample_classes(model, 2, [3, 1], seed=5)[0])
    assert not torch.equal(images, sample_classes(model, 2, [3, 1], seed=6)[0])
    for settings, name in ((dict(per_class=0), "per_class"), (dict(per_class=1, classes=[10]), "classes")):
        with pytest.raises(ValueError, match=name):
            sample_classes(model, **settings)


def normalized(network):
    """Layers with spectral norm, in either of mmagic's styles."""
    return [layer for layer in network.modules() if hasattr(layer, "sn_weight") or hasattr(layer, "weight_orig")]


def trained(sn_style):
    """A model whose EMA has other weights than the generator: one singular value above the others."""
    model = build(sn_style=sn_style)
    train(model, 1)
    for layer in normalized(model.generator_ema.module):
        weight = (layer.weight if hasattr(layer, "sn_weight") else layer.weight_orig).data
        first = torch.outer(torch.randn(len(weight)), torch.randn(weight[0].numel()))
        weight.copy_(first.view_as(weight) + 0.1 * torch.randn_like(weight))
    return model.eval()


def norms(model, draw):
    """Spectral norms of the weights that the layers of the EMA apply while samples are drawn."""
    found = []

    def note(layer, args, output):
        weight = layer.sn_weight() if hasattr(layer, "sn_weight") else layer.weight
        found.append(torch.linalg.matrix_norm(weight.detach().flatten(1), ord=2))

    for layer in normalized(model.generator_ema.module):
        layer.register_forward_hook(note)
    draw(model)
    assert len(found) > 9
    return torch.stack(found)


@pytest.mark.parametrize("sn_style", ["torch", "ajbrock"])
def test_samples_are_divided_by_the_sigma_of_the_emas_weights(sn_style):
    model = trained(sn_style)
    before = copy.deepcopy(model.state_dict())
    for draw_samples in (
        lambda model: draw(model, use_batch_statistics=True),
        lambda model: model.val_step(dict(inputs=dict(num_batches=4, sample_model="ema"))),
    ):
        found = norms(model, draw_samples)
        torch.testing.assert_close(found, torch.ones_like(found), rtol=2e-3, atol=0)
    with pytest.raises((AssertionError, RuntimeError)):  # an interrupted pass leaves the vectors alone, too
        model(dict(noise=torch.randn(4, NOISE + 1), sample_model="ema"))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_averaged_vectors_which_are_shorter_than_1_do_no_harm():
    settings = networks()
    settings["ema_config"]["update_buffers"] = True
    model = NDABigGAN(**settings)
    train(model, 4)
    found = norms(model.eval(), draw)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=2e-2, atol=0)
