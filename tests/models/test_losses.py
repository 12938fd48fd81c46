"""The registered loss module is the pure functions with settings, from any default scope."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope

from nda_mm.losses import discriminator_loss, generator_loss, info_nce
from nda_mm.models.losses import NDAGANLoss, NDAInfoNCELoss

BATCH = [torch.randn(count, 1, generator=torch.Generator().manual_seed(count)) for count in (4, 5, 6)]


@pytest.mark.parametrize("kind", ["least_squares", "kl"])
def test_equals_the_functions(kind):
    loss = NDAGANLoss(kind=kind, fake_weight=0.5)
    for weight in (None, 0.75, 1.0):
        terms = loss(*BATCH, fake_weight=weight)
        expected = discriminator_loss(*BATCH, kind=kind, fake_weight=0.5 if weight is None else weight)
        assert terms.keys() == expected.keys()
        assert all(torch.equal(terms[name], expected[name]) for name in expected)
    assert torch.equal(loss.generator(BATCH[1]), generator_loss(BATCH[1], kind=kind))
    assert set(loss(*BATCH[:2])) == {"loss_disc_real", "loss_disc_fake"}


def test_built_by_prefix_under_a_foreign_default_scope():
    with DefaultScope.overwrite_default_scope("mmengine"):
        loss = ROOT_MODELS.build(dict(type="nda_mm.NDAGANLoss", kind="logistic"))
    assert (type(loss), loss.kind, loss.fake_weight) == (NDAGANLoss, "logistic", 0.25)


def test_info_nce_equals_the_function():
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 6), (4, 6), (6, 8), (4, 2, 6)]
    parts = [torch.nn.functional.normalize(torch.randn(s, generator=generator), dim=-1) for s in shapes]
    loss = NDAInfoNCELoss(temperature=0.1, negative_weight=0.5)
    for weight in (None, 2.0):
        expected = info_nce(*parts, temperature=0.1, negative_weight=0.5 if weight is None else weight)
        assert torch.equal(loss(*parts, negative_weight=weight), expected)
    with pytest.raises(ValueError, match="temperature"):
        NDAInfoNCELoss(temperature=0)
