"""Every GAN class with negatives, against mmagic's own step and against the step written out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmengine import MessageHub
from mmengine.registry import DefaultScope
from torch import Tensor

pytest.importorskip("mmagic")
import tiny_gans
from mmagic.models import editors
from tiny_gans import CASES, RATE, Case, MirroredNegative, differing, host_of

from nda_mm import models

LINES = [name for name, case in CASES.items() if case.lines]


def written_out(
    case: Case, model: Any, fake_weight: float, penalty_towards: str = "mixture", joint: bool = False
) -> dict[str, Tensor]:
    """The discriminator's weights after one step, from its loss written out."""
    networks, data = copy.deepcopy(model), case.batch(seed=0)
    disc, data = networks.discriminator, networks.data_preprocessor(data, True)["data_samples"]
    real, label = data.gt_img, data.gt_label.label.flatten() if case.classes else None
    extra: dict[str, Any] = {}
    if case.scales:
        extra = dict(curr_scale=case.scales[0], transition_weight=torch.tensor(1.0))
        real = torch.nn.functional.interpolate(real, size=case.scales[:1] * 2, mode="bilinear", align_corners=True)
    torch.manual_seed(5)  # as Case.train
    noise = torch.randn(len(real), case.noise)
    given = dict(label=torch.randint(0, case.classes, (len(real),))) if case.classes else {}
    with torch.no_grad():
        more = dict(chosen_scale=0) if case is CASES["MSPIEStyleGAN2"] else getattr(model, "forward_kwargs", {})
        fake = networks.generator(noise, return_noise=False, **given, **extra, **more.get("disc", more))
    negative = real.flip(-2)

    def score(images: Tensor, classes: Tensor | None = None) -> Tensor:
        return disc(images, **extra) if classes is None else disc(images, label=classes)

    kinds = {"fake": (fake, given.get("label")), "real": (real, label), "negative": (negative, label)}
    if joint:
        images, classes = zip(*kinds.values())
        logits = dict(zip(kinds, score(torch.cat(images), torch.cat(classes)).chunk(3)))
    else:
        logits = {name: score(*batch) for name, batch in kinds.items()}
    of_real, of_fake = case.losses
    loss = of_real(logits["real"]) + fake_weight * of_fake(logits["fake"])
    loss = loss + (1 - fake_weight) * of_fake(logits["negative"])
    opposite = fake
    if case.lines and penalty_towards == "mixture":
        chosen = torch.rand(len(real), 1, 1, 1) < fake_weight
        opposite = torch.stack([fake[i] if chosen[i] else negative[i] for i in range(len(real))])
    loss = loss + case.penalty(score, real, opposite, logits)
    parameters = dict(disc.named_parameters())
    slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {
        key: value - RATE * (0 if slope is None else slope) for (key, value), slope in zip(parameters.items(), slopes)
    }


def assert_step_is_the_one_written_out(case: Case, forward: str, **more: Any) -> None:
    model = case.build(negative=MirroredNegative(), fake_weight=0.4, discriminator_forward=forward, **more)
    before = {key: value.clone() for key, value in model.discriminator.named_parameters()}
    expected = written_out(case, model, 0.4, joint=forward == "joint", **more)
    (log_vars,) = case.train(model)
    moved = 0.0
    for key, value in model.discriminator.named_parameters():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)
        moved = max(moved, float((value - before[key]).abs().max()))
    assert moved > 1e-4  # else anything would pass
    assert {"loss_disc_real", "loss_disc_fake", "loss_disc_negative", "fake_weight", "loss_gen"} <= set(log_vars)


@pytest.mark.parametrize("forward", ["joint", "separate"])
def test_with_negatives_a_step_equals_the_one_written_out(forward):
    assert_step_is_the_one_written_out(CASES["SNGAN"], forward)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [(name, {}) for name in CASES] + [(name, dict(penalty_towards="generated")) for name in LINES],
)
def test_so_does_that_of_every_class(name, settings):
    assert_step_is_the_one_written_out(CASES[name], "separate", **settings)


@pytest.mark.parametrize("name", ["DCGAN", "WGANGP", "SNGAN", "PGGAN"])
def test_forward_passes_are_joined_only_where_samples_do_not_mix(name):
    case = CASES[name]
    model = case.build(negative=MirroredNegative())
    joined = name in ("WGANGP", "SNGAN")
    assert model.discriminator_forward == ("joint" if joined else "separate")
    if joined:
        apart = case.build(negative=MirroredNegative(), discriminator_forward="separate")
        label = torch.tensor([1, 2]) if case.classes else None
        images = [case.batch(seed)["data_samples"][0].gt_img[None].repeat(2, 1, 1, 1) / 255 for seed in (1, 2)]
        groups = {"fake": (images[0], label), "real": (images[1], label)}
        model.eval(), apart.eval()  # spectral normalization does not iterate
        torch.testing.assert_close(model.scores(groups), apart.scores(groups), rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(ValueError, match="discriminator_forward='joint'"):
            case.build(negative=MirroredNegative(), discriminator_forward="joint")


class Watching(torch.nn.Module):
    """An augmentation that changes nothing and follows the real images' logits."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    def observe(self, real_logits: Tensor, iteration: int) -> dict[str, Any]:
        return {"watched": real_logits.detach().sum()}


@pytest.mark.parametrize(
    ("name", "settings", "hosts"),
    [
        ("LSGAN", dict(fake_weight=0.5), True),
        ("LSGAN", dict(negative=MirroredNegative(), fake_weight=1.0), True),
        ("LSGAN", dict(negative=MirroredNegative(), fake_weight=0.5), False),
        ("LSGAN", dict(adversarial_loss="hinge"), False),
        ("LSGAN", dict(augment=Watching()), False),
        ("WGANGP", dict(discriminator_forward="joint"), False),
    ],
)
def test_where_nothing_is_added_the_hosts_own_step_is_taken(name, settings, hosts, monkeypatch):
    case, taken = CASES[name], []
    own = case.host.train_discriminator
    monkeypatch.setattr(case.host, "train_discriminator", lambda *args, **kw: taken.append(1) or own(*args, **kw))
    (log_vars,) = case.train(case.build(**settings))
    assert bool(taken) == hosts
    assert ("logit_real" in log_vars) != hosts  # the mean logits are logged in our own
    assert ("watched" in log_vars) == ("augment" in settings)


def test_another_loss_is_taken_by_both_networks_where_no_penalty_belongs_to_it():
    case = CASES["LSGAN"]
    model = case.build(negative=MirroredNegative(), adversarial_loss="hinge")
    case.train(model)
    logits = torch.tensor([[0.5], [-2.0]])
    assert model.gen_loss(logits)[0].item() == pytest.approx(0.75)
    assert case.build().gen_loss(logits)[0].item() == pytest.approx((0.25 + 9) / 2)


@pytest.mark.parametrize(
    ("name", "settings", "match"),
    [
        ("WGANGP", dict(penalty_towards="real"), "penalty_towards"),
        ("PGGAN", dict(adversarial_loss="hinge"), "adversarial_loss"),
        ("PGGAN", dict(negative=dict(type="Jigsaw", grid=16)), "16"),  # its first scale has 8 pixels
    ],
)
def test_what_a_family_cannot_take_is_refused(name, settings, match):
    with pytest.raises(ValueError, match=match):
        CASES[name].build(**settings)


def test_a_resumed_growing_gan_fades_in_where_it_was():
    """The host forgets at which image a stage began, and would begin to fade in anew."""
    case = CASES["PGGAN"]
    straight, resumed = (case.build(negative=MirroredNegative(), seed=seed) for seed in (0, 9))
    case.train(straight, range(4))
    resumed.load_state_dict(copy.deepcopy(straight.state_dict()))
    weights, again = (
        [log["transition_weight"] for log in case.train(model, range(4, 6))] for model in (straight, resumed)
    )
    assert again == weights and 0 < weights[0] < 1
    assert not differing(straight, resumed)


@pytest.mark.slow
def test_r1_comes_at_its_interval_and_ada_reads_the_logits_of_real_images():
    case = copy.deepcopy(CASES["StyleGAN3"])
    case.settings["loss_config"]["r1_interval"] = 2
    logs = case.train(case.build(negative=MirroredNegative()), range(3))
    assert ["loss_r1_gp" in log for log in logs] == [True, False, True]
    assert MessageHub.get_current_instance().get_info("disc_pred_real").shape == (tiny_gans.BATCH, 1)


def test_every_gan_of_one_image_has_its_class():
    """All of mmagic's models that train one discriminator on single images, as the registry knows them."""
    hosts = {
        name
        for name, cls in vars(editors).items()
        if isinstance(cls, type) and any(base.__name__ in ("BaseGAN", "BaseConditionalGAN") for base in cls.__mro__[1:])
    }
    names = [name for name in models.__all__ if name.startswith("NDA") and "Loss" not in name and name != "NDAPix2Pix"]
    served = {host_of(getattr(models, name)).__name__ for name in names}
    # CycleGAN trains two discriminators in one step with both generators, SinGAN and PESinGAN learn the patches of one
    # image, of which a jigsaw is made, and EG3D has no training in mmagic 1.2.
    assert served == hosts - {"CycleGAN", "SinGAN", "PESinGAN", "EG3D"}


def test_large_bigans_are_built_where_mmagics_own_are_not():
    settings = tiny_gans.biggan(256, 14)
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = models.NDABigGAN(data_preprocessor=dict(type="DataPreprocessor"), **settings)
    blocks = model.discriminator.conv_blocks
    attending = [index for index, block in enumerate(blocks) if "Attention" in type(block).__name__]
    assert len(attending) == 1 and len(blocks) == 8
