"""The paper authors' networks against mmagic's with the converted tensors."""

from __future__ import annotations

import pytest
import tiny_official
import torch

pytest.importorskip("mmagic", reason="the networks are mmagic's")
from mmagic.models.editors.biggan import BigGANDiscriminator, BigGANGenerator

from nda_mm.conversion.official import (
    OfficialMismatchError,
    OfficialNetwork,
    convert_official,
    describe_official,
    official_names,
)

SIZE = (3, 7, 40)


def mmagics(
    width: int, num_classes: int, noise_size: int, sn_style: str
) -> tuple[BigGANGenerator, BigGANDiscriminator]:
    shared = dict(num_classes=num_classes, base_channels=width, sn_eps=1e-8, sn_style=sn_style)
    generator = BigGANGenerator(
        output_scale=32,
        noise_size=noise_size,
        with_shared_embedding=False,
        split_noise=False,
        auto_sync_bn=False,
        **shared,
    )
    return generator.eval(), BigGANDiscriminator(input_scale=32, **shared).eval()


def fill(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    outcome = module.load_state_dict(weights, strict=False)
    assert not outcome.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in outcome.missing_keys)


@pytest.mark.parametrize(
    ("size", "sn_style", "order"),
    [((1, 1, 24), "torch", "RGB"), (SIZE, "torch", "BGR"), (SIZE, "ajbrock", "BGR")],
)
def test_images_and_logits_are_the_same(size: tuple[int, int, int], sn_style: str, order: str) -> None:
    theirs = tiny_official.networks(*size)
    generator, discriminator = mmagics(*size, sn_style)
    settings = dict(sn_style=sn_style, channel_order=order)
    fill(generator, convert_official(theirs["G"].state_dict(), **settings))
    fill(discriminator, convert_official(theirs["D"].state_dict(), **settings))
    z, y, x = (theirs[name] for name in "zyx")
    with torch.no_grad():
        images, logits = theirs["G"](z, y), theirs["D"](x, y)
        ours = generator(z, label=y)
        ours = ours if order == "RGB" else ours[:, [2, 1, 0]]
        scores = discriminator(x if order == "RGB" else x[:, [2, 1, 0]], label=y)
    assert images.std() > 0.1 and logits.std() > 0.1  # nothing saturated, nothing zero
    torch.testing.assert_close(ours, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(scores, logits, rtol=1e-5, atol=1e-5)


def test_with_their_spectral_norm_training_passes_agree_too() -> None:
    theirs = tiny_official.networks(2, 5)
    generator, discriminator = mmagics(2, 5, 24, "ajbrock")
    fill(generator, convert_official(theirs["G"].state_dict(), sn_style="ajbrock"))
    fill(discriminator, convert_official(theirs["D"].state_dict(), sn_style="ajbrock"))
    for module in (theirs["G"], theirs["D"], generator, discriminator):
        module.train()
    z, y, x = (theirs[name] for name in "zyx")
    for _ in range(3):
        torch.testing.assert_close(generator(z, label=y), theirs["G"](z, y), rtol=0, atol=1e-5)
        torch.testing.assert_close(discriminator(x, label=y), theirs["D"](x, y), rtol=1e-5, atol=1e-5)
    ours = discriminator.conv_blocks[2].conv1.conv.u0
    torch.testing.assert_close(ours, theirs["D"].blocks[2][0].conv1.u0, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["G", "D"])
@pytest.mark.parametrize("sn_style", ["torch", "ajbrock"])
def test_every_tensor_has_its_place_and_the_source_is_left_alone(kind: str, sn_style: str) -> None:
    theirs = tiny_official.networks(2, 4)[kind]
    weights = theirs.state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    names = official_names({"G": "generator", "D": "discriminator"}[kind], sn_style=sn_style)
    ours = mmagics(2, 4, 24, sn_style)[kind == "D"]
    parameters = {name: value.shape for name, value in ours.named_parameters()}
    assert {names[name]: value.shape for name, value in theirs.named_parameters()} == parameters
    tensors = {name for name in weights if sn_style == "ajbrock" or not name.endswith("sv0")}
    assert names.keys() == tensors and len(set(names.values())) == len(tensors)
    converted = convert_official(weights, sn_style=sn_style, channel_order="BGR")
    assert all(torch.equal(weights[name], before[name]) for name in before)
    if sn_style == "ajbrock":  # no number changes but those of the layers that touch images
        reversed_ = [name for name, to in names.items() if not torch.equal(converted[to], weights[name])]
        touching = {
            "G": ["output_layer.2.bias", "output_layer.2.u0", "output_layer.2.weight"],
            "D": ["blocks.0.0.conv1.weight", "blocks.0.0.conv_sc.weight"],
        }
        assert sorted(reversed_) == touching[kind]


@pytest.mark.parametrize(("given", "kept"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_precision_is_single_at_least(given: torch.dtype, kept: torch.dtype) -> None:
    weights = {name: value.to(given) for name, value in tiny_official.networks(1, 2)["D"].state_dict().items()}
    converted = convert_official(weights)
    assert {value.dtype for value in converted.values()} == {kept}
    # The vectors are those of one iteration, as exact as their dtype.
    matrix, v = converted["proj_y.weight_orig"], converted["proj_y.weight_v"]
    after = torch.nn.functional.normalize(matrix @ v, dim=0)
    torch.testing.assert_close(after, converted["proj_y.weight_u"], rtol=0, atol=10 * torch.finfo(kept).eps)


def test_size_and_kind_are_read_off() -> None:
    width, classes, noise = SIZE
    theirs = tiny_official.networks(width, classes, noise)
    assert describe_official(theirs["G"].state_dict()) == OfficialNetwork("generator", width, classes, noise)
    assert describe_official(theirs["D"].state_dict()) == OfficialNetwork("discriminator", width, classes)


def test_what_does_not_fit_is_named() -> None:
    networks = {kind: tiny_official.networks(2, 4)[kind].state_dict() for kind in "GD"}
    for kind, change, message in (
        ("G", {"linear.u0": None}, r"generator .*missing: linear\.u0; unknown: none$"),
        ("G", {"blocks.3.0.conv1.weight": torch.zeros(8, 8, 3, 3)}, r"unknown: blocks\.3\.0\.conv1"),
        ("D", {"embed.sv0": torch.tensor([torch.nan])}, r"finite.* embed\.sv0"),
    ):
        weights = {name: value for name, value in {**networks[kind], **change}.items() if value is not None}
        with pytest.raises(OfficialMismatchError, match=message):
            convert_official(weights)
    for setting in (dict(sn_style="keras"), dict(channel_order="GBR")):
        with pytest.raises(ValueError, match=next(iter(setting))):
            convert_official(networks["D"], **setting)
    with pytest.raises(ValueError, match="kind"):
        official_names("critic")
