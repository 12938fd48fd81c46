"""The GAN with negatives, against mmagic's own step and against a step written out by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("mmagic")

from mmagic.models.editors import BigGAN
from tiny_biggan import BATCH, CLASSES, NOISE, adam, batch, build, optimizers, train
from tiny_gans import MirroredNegative, differing
from tiny_gans import train as train_on


def written_out_loss(
    model: Any, generator: Any, discriminator: Any, data: Any, weight: float = 0.25, joint: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """The discriminator's loss with the hinge, and its logits of negatives."""
    data = model.data_preprocessor(data, True)["data_samples"]
    real, real_label = data.gt_img, data.gt_label.label.flatten()
    assert real.min() < -0.9 and real.max() > 0.9
    noise, label = torch.randn(BATCH, NOISE).to(real), torch.randint(0, CLASSES, (BATCH,))
    with torch.no_grad():
        fake = generator(noise, label=label)
    groups = [(fake, label), (real, real_label), (real[..., list(range(31, -1, -1)), :], real_label)]
    if joint:
        images, labels = (torch.cat(parts) for parts in zip(*groups))
        on_fake, on_real, on_negative = discriminator(images, label=labels).split(BATCH)
    else:
        on_fake, on_real, on_negative = (discriminator(images, label=labels) for images, labels in groups)
    loss = F.relu(1 - on_real).mean() + weight * F.relu(1 + on_fake).mean()
    return loss + (1 - weight) * F.relu(1 + on_negative).mean(), on_negative


def assert_same_weights(ours: Any, theirs: Any) -> None:
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6, msg=name)


def test_without_negatives_separate_steps_are_mmagics_own_bit_for_bit():
    ours = build(discriminator_forward="separate", discriminator_steps=2)
    host = build(BigGAN, discriminator_steps=2)
    host.data_sample_to_label = lambda sample: sample.gt_label.label.flatten()  # see ClassConditionalMixin
    our_logs, host_logs = train(ours, 2), train(host, 2)
    assert not differing(ours, host)
    for our_log, host_log in zip(our_logs, host_logs, strict=True):
        assert {key: our_log[key].item() for key in host_log} == {k: v.item() for k, v in host_log.items()}


def test_at_weight_one_negatives_are_neither_made_nor_scored():
    class Refusing(MirroredNegative):
        def forward(self, x, *, other=None, generator=None):
            raise AssertionError("a negative was made")

    plain, warming = build(), build(negative=Refusing(), fake_weight=1.0)
    train(plain, 2), train(warming, 2)
    assert not differing(plain, warming)


@pytest.mark.parametrize(("mode", "fake_weight"), [("joint", 0.25), ("separate", 0.9)])
def test_a_step_equals_the_one_written_out(mode, fake_weight):
    model = build(negative=MirroredNegative(), fake_weight=fake_weight, discriminator_forward=mode).double()
    # mmagic draws float32 noise whatever the model is made of
    model.noise_fn = lambda num_batches: torch.randn(num_batches, NOISE).double()
    generator, discriminator = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
    (log,) = train(model, 1, dtype=torch.float64)

    torch.manual_seed(7)
    data = batch(dtype=torch.float64)
    optimizer = adam(discriminator)
    loss, on_negative = written_out_loss(model, generator, discriminator, data, fake_weight, mode == "joint")
    loss.backward()
    optimizer.step()
    assert log["loss"].item() == pytest.approx(loss.item(), abs=1e-6)
    assert log["logit_negative"].item() == pytest.approx(on_negative.mean().item(), abs=1e-6)
    assert_same_weights(model.discriminator, discriminator)

    optimizer = adam(generator)
    noise, label = torch.randn(BATCH, NOISE).double(), torch.randint(0, CLASSES, (BATCH,))
    (-discriminator(generator(noise, label=label), label=label).mean()).backward()
    optimizer.step()
    assert not differing(model.generator, generator, 1e-6)


def test_accumulated_gradients_are_the_mean_of_the_parts():
    model = build(negative=MirroredNegative())
    generator, discriminator = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
    wrappers = optimizers(model, accumulative_counts=2)
    for wrapper in wrappers.values():
        wrapper.initialize_count_status(model, 0, 100)
    torch.manual_seed(7)
    train_on(model, wrappers, [batch(0)])
    assert_same_weights(model.discriminator, discriminator)
    train_on(model, wrappers, [batch(1)], first=1)

    optimizer = adam(discriminator)
    torch.manual_seed(7)
    for number in range(2):
        (written_out_loss(model, generator, discriminator, batch(number))[0] / 2).backward()
    optimizer.step()
    assert_same_weights(model.discriminator, discriminator)


def test_schedules_count_generator_steps():
    model = build(
        negative=dict(type="Curriculum", milestones=[(0, dict(type="Jigsaw", grid=4)), (2, dict(type="Jigsaw"))]),
        fake_weight=[(0, 1.0), (1, 0.5), (2, 0.25)],
        discriminator_steps=2,
    )
    logs = train(model, 5)
    assert [log["fake_weight"].item() for log in logs] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert ["loss_disc_negative" in log for log in logs] == [False, False, True, True, True]
    assert int(model.state_dict()["negative.iteration"]) == 2


def test_one_class_needs_no_labels_and_ignores_those_there():
    models = [build(classes=1, negative=MirroredNegative()) for _ in range(2)]
    for model, labels in zip(models, (True, False)):
        torch.manual_seed(7)
        model.train_step(batch(labels=labels), optimizers(model))
    assert not differing(*models)
    model = build()
    with pytest.raises(ValueError, match=r"gt_label.*num_classes=1"):
        model.train_step(batch(labels=False), optimizers(model))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (dict(discriminator_forward="both"), "discriminator_forward"),
        (dict(adversarial_loss="hinged"), "kind"),
        (dict(negative=dict(type="Jigsaw", grid=3)), "32"),
        (dict(fake_weight=[(0, 1.0), (10, 0.0)]), "fake_weight"),
    ],
)
def test_bad_settings_are_refused(settings, match):
    with pytest.raises((TypeError, ValueError), match=match):
        build(**settings)
