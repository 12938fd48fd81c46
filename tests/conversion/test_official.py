"""Networks in the layout of the paper's authors, against mmagic's with the converted tensors."""

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

SIZES = [(1, 1, 24), (2, 10, 24), (3, 7, 40)]


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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sn_style", ["torch", "ajbrock"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
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


def test_in_their_manner_training_passes_agree_too() -> None:
    theirs = tiny_official.networks(2, 5)
    generator, discriminator = mmagics(2, 5, 24, "ajbrock")
    fill(generator, convert_official(theirs["G"].state_dict(), sn_style="ajbrock"))
    fill(discriminator, convert_official(theirs["D"].state_dict(), sn_style="ajbrock"))
    for module in (theirs["G"], theirs["D"], generator, discriminator):
        module.train()
    for _ in range(3):
        torch.testing.assert_close(
            generator(theirs["z"], label=theirs["y"]), theirs["G"](theirs["z"], theirs["y"]), rtol=0, atol=1e-5
        )
        torch.testing.assert_close(
            discriminator(theirs["x"], label=theirs["y"]), theirs["D"](theirs["x"], theirs["y"]), rtol=1e-5, atol=1e-5
        )
    torch.testing.assert_close(
        discriminator.conv_blocks[2].conv1.conv.u0, theirs["D"].blocks[2][0].conv1.u0, rtol=0, atol=1e-5
    )


def test_with_torchs_norm_training_is_one_iteration_ahead() -> None:
    """As said in the docstring: what torch has after its first pass, they have after their second."""
    theirs = tiny_official.networks(2, 5)
    _, discriminator = mmagics(2, 5, 24, "torch")
    fill(discriminator, convert_official(theirs["D"].state_dict()))
    discriminator.train()
    theirs["D"].train()
    discriminator(theirs["x"], label=theirs["y"])
    ours = discriminator.conv_blocks[1].conv2.conv.weight_u
    for passes, agrees in ((1, False), (2, True)):
        theirs["D"](theirs["x"], theirs["y"])
        assert torch.allclose(ours, theirs["D"].blocks[1][0].conv2.u0[0], atol=1e-5) is agrees, passes


@pytest.mark.parametrize("kind", ["G", "D"])
def test_there_and_back(kind: str) -> None:
    """In their manner of spectral norm no number changes, and every tensor of theirs has one of ours."""
    weights = tiny_official.networks(2, 4)[kind].state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    once = convert_official(weights, sn_style="ajbrock", channel_order="BGR")
    assert all(torch.equal(weights[name], before[name]) for name in before)  # the source is left alone
    plain = convert_official(weights, sn_style="ajbrock")
    assert len(plain) == len(weights)
    pairs = dict(zip(plain, once, strict=True))
    turned = [name for name in pairs if not torch.equal(plain[name], once[pairs[name]])]
    touching = {
        "G": ["output_layer.conv.weight", "output_layer.conv.bias", "output_layer.conv.u0"],
        "D": ["conv_blocks.0.conv1.conv.weight", "conv_blocks.0.shortcut.conv.weight"],
    }
    assert sorted(turned) == sorted(touching[kind])
    values = sorted(float(value.double().sum()) for value in plain.values())
    assert values == sorted(float(value.double().sum()) for value in weights.values())
    mmagic = mmagics(2, 4, 24, "ajbrock")[kind == "D"]
    fill(mmagic, plain)
    again = {name: value for name, value in mmagic.state_dict().items() if name in plain}
    assert all(torch.equal(again[name], plain[name]) for name in plain) and len(again) == len(weights)


@pytest.mark.parametrize(
    ("given", "kept"), [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)]
)
@pytest.mark.parametrize("sn_style", ["torch", "ajbrock"])
def test_precision_is_single_at_least(given: torch.dtype, kept: torch.dtype, sn_style: str) -> None:
    weights = {name: value.to(given) for name, value in tiny_official.networks(1, 2)["D"].state_dict().items()}
    converted = convert_official(weights, sn_style=sn_style)
    assert {value.dtype for value in converted.values()} == {kept}
    if sn_style == "torch":  # the vectors are as exact as they say: nothing changes but by one iteration
        matrix, v = converted["proj_y.weight_orig"], converted["proj_y.weight_v"]
        after = torch.nn.functional.normalize(matrix @ v, dim=0)
        torch.testing.assert_close(after, converted["proj_y.weight_u"], rtol=0, atol=10 * torch.finfo(kept).eps)


@pytest.mark.parametrize("kind", ["G", "D"])
@pytest.mark.parametrize("sn_style", ["torch", "ajbrock"])
def test_the_map_of_names_is_whole(kind: str, sn_style: str) -> None:
    """Each parameter of theirs is one of mmagic's, and no two are the same."""
    theirs = tiny_official.networks(2, 4)[kind]
    names = official_names({"G": "generator", "D": "discriminator"}[kind], sn_style=sn_style)
    ours = mmagics(2, 4, 24, sn_style)[kind == "D"]
    parameters = {name: value.shape for name, value in ours.named_parameters()}
    assert {names[name]: value.shape for name, value in theirs.named_parameters()} == parameters
    tensors = {name for name in theirs.state_dict() if sn_style == "ajbrock" or not name.endswith("sv0")}
    assert names.keys() == tensors and len(set(names.values())) == len(tensors)
    assert set(names.values()) <= ours.state_dict().keys()


class TestDescription:
    @pytest.mark.parametrize("size", SIZES)
    def test_size_and_kind_are_read_off(self, size: tuple[int, int, int]) -> None:
        theirs = tiny_official.networks(*size)
        width, classes, noise = size
        assert describe_official(theirs["G"].state_dict()) == OfficialNetwork("generator", width, classes, noise)
        assert describe_official(theirs["D"].state_dict()) == OfficialNetwork("discriminator", width, classes)

    @pytest.mark.parametrize(
        ("kind", "change", "message"),
        [
            ("G", dict(drop=["linear.u0"]), r"it lacks linear\.u0$"),
            ("G", dict(drop=[f"blocks.2.0.conv1.{n}" for n in ("weight", "bias", "u0", "sv0")] + ["linear.sv0"]),
             r"it lacks linear\.sv0, blocks\.2\.0\.conv1\.weight, .*u0 and 1 more$"),
            ("G", {"blocks.3.0.conv1.weight": (8, 8, 3, 3)}, r"generator for 32x32 images has no blocks\.3\.0\.conv1"),
            ("G", {"shared.weight": (10, 128)}, r"no shared\.weight; .*--shared_embedding\), which is not served"),
            ("D", {"blocks.0.1.theta.weight": (1, 8, 1, 1)}, r"looks like attention \(--G_attn, --D_attn\)"),
            ("D", {"embed.u1": (1, 4)}, r"has no embed\.u1; this looks like several singular values"),
            ("G", {"output_layer.2.weight": (1, 8, 3, 3)}, r"output_layer\.2\.weight is of shape \(1, 8, 3, 3\) "
             r"instead of \(3, 8, 3, 3\)"),
            ("D", {"blocks.1.0.conv2.weight": (8, 8, 1, 1)}, r"as a discriminator of 8 channels, blocks\.1\.0\.conv2"),
            ("G", {"linear.bias": torch.tensor([torch.inf] * 128)}, r"must be finite.* linear\.bias$"),
            ("D", {"embed.sv0": torch.tensor([torch.nan])}, r"must be finite.* embed\.sv0$"),
            ("D", {"linear.bias": torch.ones(1, dtype=torch.int64)}, r"point, but linear\.bias is torch\.int64"),
            ("G", {"linear.bias": torch.ones(128) + 0j}, r"floating point, but linear\.bias is torch\.complex64"),
            ("D", dict(drop=["embed.weight"]), r"neither output_layer\.2\.weight.*nor embed\.weight"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_named(self, kind: str, change: dict, message: str) -> None:
        weights = dict(tiny_official.networks(2, 4)[kind].state_dict())
        for name in change.pop("drop", []):
            del weights[name]
        weights |= {name: torch.zeros(new) if isinstance(new, tuple) else new for name, new in change.items()}
        with pytest.raises(OfficialMismatchError, match=message):
            convert_official(weights)

    def test_channels_are_four_to_a_width(self) -> None:
        theirs = tiny_official.Discriminator(1, 3)
        six = {
            name: torch.zeros([6 if size == 4 else size for size in value.shape])
            for name, value in theirs.state_dict().items()
        }
        with pytest.raises(OfficialMismatchError, match="6 channels, which is not four times a whole width"):
            describe_official(six)

    def test_unknown_settings(self) -> None:
        weights = tiny_official.networks(1, 2)["D"].state_dict()
        with pytest.raises(ValueError, match=r"sn_style must be one of .*'keras'"):
            convert_official(weights, sn_style="keras")
        with pytest.raises(ValueError, match=r"kind must be one of .*'critic'"):
            official_names("critic")
        with pytest.raises(ValueError, match=r"channel_order must be one of .*'GBR'"):
            convert_official(weights, channel_order="GBR")
