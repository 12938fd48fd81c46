"""Positive augmentation in front of the discriminator: for real, generated and negative images alike."""

from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip("mmagic")
from tiny_gans import CASES, MirroredNegative

from nda_mm.models import ADA
from nda_mm.models.gans.augment import DiffAugment


class Counting(nn.Module):
    """Halves images, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x.detach())
        return x / 2


@pytest.mark.parametrize("forward", ["joint", "separate"])
def test_every_kind_of_image_in_both_networks_steps_is_augmented(forward):
    case, augment = CASES["SNGAN"], Counting()
    model = case.build(negative=MirroredNegative(), augment=augment, discriminator_forward=forward)
    model.train_step(case.batch(), case.optimizers(model))
    counts = [len(images) for images in augment.seen]
    assert counts == ([12, 4] if forward == "joint" else [4, 4, 4, 4])  # the last is the generator's step
    fake, real, negative = torch.cat(augment.seen)[:12].chunk(3)
    # Made of the real image as it is, before it was augmented.
    assert torch.equal(negative, real.flip(-2))
    assert not torch.equal(fake, real)


def test_the_hosts_own_step_is_augmented_too_and_evaluation_is_not():
    case, augment = CASES["DCGAN"], Counting()
    model = case.build(augment=augment)
    assert model.uses_base_step(1.0)
    model.train_step(case.batch(), case.optimizers(model))
    assert [len(images) for images in augment.seen] == [4, 4, 4]
    model.eval()
    with torch.no_grad():
        model.discriminator(torch.zeros(2, 3, 32, 32))
    assert len(augment.seen) == 3


def test_penalties_see_what_the_discriminator_sees():
    case, augment = CASES["WGANGP"], Counting()
    model = case.build(negative=MirroredNegative(), augment=augment)
    model.train_step(case.batch(), case.optimizers(model))
    assert [len(images) for images in augment.seen] == [12, 4, 4]  # the second is the gradient penalty


def test_it_adds_no_keys_and_is_built_from_a_config():
    case = CASES["DCGAN"]
    model = case.build(augment=dict(type="DiffAugment", policy=["color"]))
    assert isinstance(model.augment, DiffAugment)
    assert list(model.state_dict()) == list(case.build().state_dict())
    with pytest.raises(ValueError, match="policy"):
        case.build(augment=dict(type="nda_mm.DiffAugment", policy=["hue"]))
    with pytest.raises(TypeError, match="augment"):
        case.build(augment="DiffAugment")


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
