"""Negatives in mmpretrain's own contrastive models: a step against the same step written out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("mmpretrain")
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS as HOST_MODELS

import nda_mm.models.contrast as contrast_module
from nda_mm.losses import info_nce, mixed_keys
from nda_mm.models.contrast import NegativeContrast
from nda_mm.negatives import Negative, build_negative

BATCH, SIZE, CHANNELS = 6, 16, 5
STAGES = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,))
BACKBONE = dict(type="ResNet_CIFAR", depth=18, stem_channels=4, base_channels=4, **STAGES)
NECKS = {"MoCo": "MoCoV2Neck", "DenseCL": "DenseCLNeck", "MoCoV3": "NonLinearNeck", "SimCLR": "NonLinearNeck"}


def build(kind: str) -> torch.nn.Module:
    neck: dict[str, Any] = dict(type=NECKS[kind], in_channels=8, hid_channels=8, out_channels=CHANNELS)
    head: dict[str, Any] = dict(type="ContrastiveHead", loss=dict(type="CrossEntropyLoss"), temperature=0.2)
    queue = dict(queue_len=24, feat_dim=CHANNELS, momentum=0.1) if kind in ("MoCo", "DenseCL") else {}
    if kind == "DenseCL":
        neck["num_grid"] = None
    if kind == "MoCoV3":
        neck["norm_cfg"] = dict(type="BN1d")
        head.update(type="MoCoV3Head", predictor={**neck, "in_channels": CHANNELS, "with_avg_pool": False})
    settings = dict(type=kind, backbone=BACKBONE, neck=neck, head=head, **queue)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        torch.manual_seed(0)
        model = HOST_MODELS.build(settings)
    if kind == "MoCoV3":  # its momentum follows the training's progress, which a Runner would know
        model.momentum_encoder.avg_func = lambda averaged, source, steps: averaged.lerp_(source, 0.1)
    for parameter in model.parameters():
        torch.manual_seed(1)
        parameter.data += 0.05 * torch.randn(parameter.shape)
    return model.train()


def views(seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(2, BATCH, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)))


def step(model: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(99)  # the host's own shuffle draws from the global generator
    return model(inputs=views(seed), data_samples=None, mode="loss")


def attached(
    model: torch.nn.Module, negative: Negative | None = None, iteration: int = 0, weight: float = 1.0, **settings
) -> NegativeContrast:
    """Negatives of a model, by default :class:`Flip`'s."""
    contrast = NegativeContrast(model, negative or Flip(), **settings)
    contrast.attach()
    contrast.set_step(iteration, weight)
    return contrast


def differing(ours: torch.nn.Module, theirs: torch.nn.Module) -> list[str]:
    """Names of the tensors, weights, gradients and buffers, that are not equal bit for bit."""
    one, other = ours.state_dict(), theirs.state_dict()
    assert one.keys() == other.keys()
    names = [name for name, value in other.items() if not torch.equal(one[name], value)]
    for (name, mine), its in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        same = mine.grad is None if its.grad is None else torch.equal(mine.grad, its.grad)
        names += [] if same else [f"gradient of {name}"]
    return names


def assert_loss_and_gradients(model: torch.nn.Module, found: torch.Tensor, twin: torch.nn.Module, expected) -> None:
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters()):
        if name.startswith("encoder_k"):
            assert ours.grad is None
        else:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


class Flip(Negative):
    """Upside down and brighter, without a draw: what the tests can repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def make(self, x, other, generator):
        self.seen.append(x)
        return x.flip(-2) + len(self.seen)


def written_out(model, *, source: int = 0, num_negatives: int = 1) -> tuple:
    """A copy of a MoCo or DenseCL after the update of its key encoder, and query, key and negatives of a step."""
    twin, inputs = copy.deepcopy(model), views()
    query = F.normalize(twin.neck(twin.backbone(inputs[0]))[0], dim=1)
    with torch.no_grad():
        twin.encoder_k.update_parameters(torch.nn.Sequential(twin.backbone, twin.neck))
        key = F.normalize(twin.encoder_k(inputs[1])[0], dim=1)
        made = torch.cat([inputs[source].flip(-2) + number for number in range(1, num_negatives + 1)])
        negatives = F.normalize(twin.encoder_k(made)[0], dim=1).split(BATCH)
    return twin, query, key, torch.stack(negatives, 1)


@pytest.mark.parametrize(("view", "num_negatives", "weight"), [("query", 1, 1.0), ("key", 3, 0.25)])
def test_a_step_of_moco_is_info_nce_over_queue_and_negatives(view, num_negatives, weight):
    """The loss and its gradients."""
    model = build("MoCo")
    twin, query, key, negatives = written_out(model, source=view == "key", num_negatives=num_negatives)
    expected = info_nce(query, key, twin.queue, negatives, temperature=0.2, negative_weight=weight)
    attached(model, weight=weight, num_negatives=num_negatives, view=view)
    assert_loss_and_gradients(model, step(model)["loss"], twin, expected)


def test_the_hardest_negative_alone_enters_the_row():
    """The nearest to the query of four, scaled as Ge et al. do."""
    model = build("MoCo")
    twin, query, key, negatives = written_out(model, num_negatives=4)
    nearest = [max(range(4), key=lambda number: float(query[row] @ negatives[row, number])) for row in range(BATCH)]
    assert len(set(nearest)) > 1
    hardest = negatives[torch.arange(BATCH), nearest][:, None]
    expected = info_nce(query, key, twin.queue, hardest, temperature=0.2, similarity_scale=2.0)
    attached(model, num_negatives=4, similarity_scale=2.0, keep="hardest")
    found = step(model)
    torch.testing.assert_close(found["loss"], expected)
    torch.testing.assert_close(found["negative_similarity"], (query * hardest[:, 0]).sum(dim=1).mean())


@pytest.mark.parametrize(("num_negatives", "weight"), [(0, 1.0), (2, 0.5)])
def test_mixed_keys_enter_the_row_beside_the_negatives(num_negatives, weight):
    """In a step of MoCo; their own test is in tests/losses."""
    settings = dict(hardest=7, mixed=4, with_query=3)
    model = build("MoCo")
    twin, query, key, negatives = written_out(model, num_negatives=max(num_negatives, 1))
    contrast = attached(model, None, 3, weight, num_negatives=num_negatives, mixed_keys=settings, seed=5)
    found = step(model)
    keys = mixed_keys(query, twin.queue, generator=contrast.generator("cpu", contrast_module._MIXING), **settings)
    columns = torch.cat([negatives[:, :num_negatives], keys], dim=1)
    expected = info_nce(query, key, twin.queue, columns, temperature=0.2, negative_weight=weight)
    assert_loss_and_gradients(model, found["loss"], twin, expected)


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        ("MoCo", dict(hardest=25), "hardest"),
        ("MoCo", dict(hardest=2, mixed=-1), "mixed"),
        ("MoCo", dict(hardest=2, mixes=1), "mixes"),
        ("MoCoV3", {}, "queue"),
    ],
)
def test_mixed_keys_that_cannot_be_made_are_refused(kind, settings, name):
    model = build(kind)
    with pytest.raises(ValueError, match=name):
        step(attached(model, mixed_keys=settings).model)


def test_negatives_change_nothing_but_the_rows():
    """Weights, running statistics and queue after a step are those of a step without; so are the global draws."""
    plain, ours = build("MoCo"), build("MoCo")
    attached(ours, build_negative(dict(type="Stitch")), num_negatives=2)
    for number in range(2):
        step(plain, number)
        without = torch.rand(3)
        step(ours, number)
        assert torch.equal(torch.rand(3), without)
        assert differing(ours, plain) == []


def test_detached_the_model_is_the_hosts_own():
    plain, ours = build("MoCo"), build("MoCo")
    contrast = attached(ours)
    step(ours)
    contrast.detach()
    step(plain)
    assert type(ours.head.loss_module) is type(plain.head.loss_module)
    found, expected = step(ours), step(plain)
    assert found.keys() == expected.keys() == {"loss"}
    assert torch.equal(found["loss"], expected["loss"])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("MoCo", {}), ("MoCo", dict(num_negatives=0, mixed_keys={})), ("DenseCL", {}), ("MoCoV3", {})],
)
def test_at_weight_zero_a_model_is_the_hosts_own(kind, settings):
    """Losses, gradients and every tensor, bit for bit; nothing is made."""
    plain, ours, negative = build(kind), build(kind), Flip()
    contrast = attached(ours, negative, **settings)
    for number in range(1, 3):
        contrast.set_step(number, 0.0)
        found, expected = step(ours, number), step(plain, number)
        assert negative.seen == [] and "negative_similarity" not in found
        for name, value in expected.items():
            assert torch.equal(found[name], value), name
        assert [name for name in found if "loss" in name] == list(expected)
        for each in (found, expected):
            sum(value for name, value in each.items() if "loss" in name).backward()
        for model in (ours, plain):
            torch.optim.SGD(model.parameters(), lr=0.1).step()
        assert differing(ours, plain) == []
    inputs = views()[0]
    for one, other in zip(ours(inputs, mode="tensor"), plain(inputs, mode="tensor"), strict=True):
        assert torch.equal(one, other)


def test_densecl_gets_negatives_in_the_rows_of_whole_images():
    plain, ours = build("DenseCL"), build("DenseCL")
    twin, query, key, negatives = written_out(ours)
    attached(ours)
    found, expected = step(ours), step(plain)
    assert torch.equal(found["loss_dense"], expected["loss_dense"])
    single = info_nce(query, key, twin.queue, negatives, temperature=0.2)
    torch.testing.assert_close(found["loss_single"], single * (1 - ours.loss_lambda))
    assert torch.equal(ours.queue, plain.queue) and torch.equal(ours.queue2, plain.queue2)


def test_moco_v3_gets_negatives_in_both_halves():
    model = build("MoCoV3")
    twin = copy.deepcopy(model)
    attached(model)
    found = step(model)
    inputs = views()
    base = [twin.neck(twin.backbone(view))[0] for view in inputs]
    made = [view.flip(-2) + number for number, view in enumerate(inputs, start=1)]
    with torch.no_grad():
        twin.momentum_encoder.update_parameters(torch.nn.Sequential(twin.backbone, twin.neck))
        keys, negatives = ([F.normalize(twin.momentum_encoder(x)[0], dim=1) for x in xs] for xs in (inputs, made))
    expected = torch.zeros(())
    for own, other in ((0, 1), (1, 0)):
        query = F.normalize(twin.head.predictor([base[own]])[0], dim=1)
        logits = torch.cat([query @ keys[other].T, (query * negatives[own]).sum(1, keepdim=True)], dim=1)
        expected = expected + F.cross_entropy(logits / 0.2, torch.arange(BATCH))
    torch.testing.assert_close(found["loss"], expected)
    assert {"batch_similarity", "negative_similarity"} <= set(found)
    assert model.state_dict().keys() == twin.state_dict().keys()


def test_what_is_logged():
    model = build("MoCo")
    twin, query, key, negatives = written_out(model, num_negatives=2)
    attached(model, num_negatives=2)
    found = step(model)
    rows = torch.einsum("bc,bkc->bk", query, torch.cat([key[:, None], negatives], dim=1))
    rows = torch.cat([rows, query @ twin.queue], dim=1)
    expected = dict(positive=rows[:, 0], negative=rows[:, 1:3], queue=rows[:, 3:])
    for name, values in expected.items():
        assert found[f"{name}_similarity"].item() == pytest.approx(values.mean().item(), abs=1e-5)
    assert found["positive_accuracy"].item() == pytest.approx((rows.argmax(1) == 0).float().mean().item())
    assert not any(value.requires_grad for name, value in found.items() if name != "loss")


def test_draws_are_made_from_seed_and_iteration():
    losses = []
    for seed, iteration in ((0, 0), (0, 0), (0, 1), (1, 0)):
        model = build("MoCo")
        attached(model, build_negative(dict(type="Jigsaw", grid=4)), iteration, seed=seed)
        torch.rand(seed + iteration)  # what the global generator has drawn does not matter
        losses.append(step(model)["loss"].item())
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_shuffled_rows_return_to_their_rank(monkeypatch):
    rows, order = torch.arange(2 * BATCH).view(2, BATCH), torch.randperm(2 * BATCH)
    monkeypatch.setattr(contrast_module, "get_world_size", lambda: 2)

    def on_each_rank(given: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        monkeypatch.setattr(contrast_module, "all_gather", lambda x: list(given))
        found = []
        for rank in range(2):
            monkeypatch.setattr(contrast_module, "get_rank", lambda rank=rank: rank)
            found.append(contrast_module.exchange_rows(given[rank], order))
        return torch.stack(found)

    shuffled = on_each_rank(rows, order)
    assert torch.equal(shuffled.flatten(), order)
    assert torch.equal(on_each_rank(shuffled, order.argsort()), rows)


def test_methods_without_keys_of_images_are_refused():
    """Of other methods, and where the model has negatives already, or its head no temperature."""
    with pytest.raises(TypeError, match="SimCLR"):
        attached(build("SimCLR"))
    model = build("MoCo")
    attached(model)
    with pytest.raises(ValueError, match="RandomNegative"):
        NegativeContrast(model, Flip())
    del model.head.temperature
    with pytest.raises(TypeError, match="temperature"):
        NegativeContrast(model, Flip())


def test_images_that_do_not_fit_are_refused():
    model = build("MoCo")
    attached(model, build_negative(dict(type="Jigsaw", grid=3)))
    for images, name in ((views() + views()[:1], "3 views"), (views()[0], "Tensor"), (views(), "16")):
        with pytest.raises(ValueError, match=name):
            model(inputs=images, data_samples=None, mode="loss")
