"""Parts of a step: warm-up, schedules, accumulated gradients, labels. The step itself is in ``test_families.py``."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("mmagic")

from tiny_biggan import batch, build, optimizers, train
from tiny_gans import MirroredNegative, differing
from tiny_gans import train as train_on


def test_at_weight_one_negatives_are_neither_made_nor_scored():
    class Refusing(MirroredNegative):
        def forward(self, x, *, other=None, generator=None):
            raise AssertionError("a negative was made")

    plain, warming = build(), build(negative=Refusing(), fake_weight=1.0)
    train(plain, 2), train(warming, 2)
    assert not differing(plain, warming)


def test_accumulated_gradients_are_one_step_of_the_generator():
    model = build(negative=MirroredNegative(), fake_weight=[(0, 0.5), (1, 0.25)])
    start, wrappers = copy.deepcopy(model), optimizers(model, accumulative_counts=2)
    for wrapper in wrappers.values():
        wrapper.initialize_count_status(model, 0, 100)
    logs = train_on(model, wrappers, [batch(0)])
    parameters = dict(model.discriminator.named_parameters())
    assert all(torch.equal(value, parameters[name]) for name, value in start.discriminator.named_parameters())
    logs += train_on(model, wrappers, [batch(1), batch(2)], first=1)
    assert any(not torch.equal(value, parameters[name]) for name, value in start.discriminator.named_parameters())
    assert [log["fake_weight"].item() for log in logs] == [0.5, 0.5, 0.25]


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
