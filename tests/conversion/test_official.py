"""The paper authors' networks against mmagic's with the converted tensors, and their files as our checkpoints."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import tiny_official
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint
from torch import Tensor, nn

pytest.importorskip("mmagic", reason="the networks are mmagic's")
from mmagic.models.editors.biggan import BigGANDiscriminator, BigGANGenerator

from nda_mm.checkpoints import BrokenCheckpointError
from nda_mm.conversion.official import (
    ImportReport,
    OfficialMismatchError,
    OfficialNetwork,
    convert_official,
    describe_official,
    import_official,
    official_names,
)
from nda_mm.utils.files import recipe_path

RECIPE, UNCONDITIONAL = recipe_path("nda_biggan_cifar10.py"), recipe_path("nda_biggan_cifar10_uncond.py")


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


@pytest.mark.parametrize(("sn_style", "order"), [("torch", "BGR"), ("ajbrock", "RGB")])
def test_images_and_logits_are_the_same(sn_style: str, order: str) -> None:
    size = (3, 7, 40)
    theirs = tiny_official.networks(*size)
    assert describe_official(theirs["G"].state_dict()) == OfficialNetwork("generator", *size)
    assert describe_official(theirs["D"].state_dict()) == OfficialNetwork("discriminator", *size[:2])
    generator, discriminator = mmagics(*size, sn_style)
    settings = dict(sn_style=sn_style, channel_order=order)
    before = {kind: copy.deepcopy(theirs[kind].state_dict()) for kind in "GD"}
    fill(generator, convert_official(theirs["G"].state_dict(), **settings))
    fill(discriminator, convert_official(theirs["D"].state_dict(), **settings))
    for kind in "GD":  # what was converted is left alone
        assert all(torch.equal(value, before[kind][name]) for name, value in theirs[kind].state_dict().items())
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


def test_precision_is_single_at_least() -> None:
    """Float64, which stays, is in test_authors_step.py."""
    converted = convert_official(tiny_official.networks(1, 2)["D"].bfloat16().state_dict())
    assert {value.dtype for value in converted.values()} == {torch.float32}
    # The vectors are those of one iteration, as exact as their dtype.
    matrix, v = converted["proj_y.weight_orig"], converted["proj_y.weight_v"]
    after = torch.nn.functional.normalize(matrix @ v, dim=0)
    torch.testing.assert_close(after, converted["proj_y.weight_u"], rtol=0, atol=1e-6)


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


def save(folder: Path, **parts: nn.Module | dict[str, Any]) -> dict[str, Path]:
    for name, part in parts.items():
        torch.save(part.state_dict() if isinstance(part, nn.Module) else part, folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in parts}


def model_of(report: ImportReport) -> nn.Module:
    """The recipe's model with the options that the report names, and the checkpoint strictly loaded."""
    cfg = Config.fromfile(report.config)
    cfg.merge_from_dict(report.options)
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = MODELS.build(cfg.model).eval()
    load_checkpoint(model, str(report.out), strict=True)
    return model


def state_of(report: ImportReport) -> dict[str, Tensor]:
    return torch.load(report.out, weights_only=True)["state_dict"]


def colors(report: ImportReport, images: Tensor) -> Tensor:
    """Between the model's order and RGB, either way."""
    return images[:, [2, 1, 0]] if report.channel_order == "BGR" else images


@pytest.mark.parametrize(("kind", "order"), [("conditional", "BGR"), ("unconditional", "RGB")])
def test_the_authors_own_networks_and_outputs(needs_shared_data: Path, tmp_path: Path, kind: str, order: str) -> None:
    file = needs_shared_data / "authors_biggan_width8.pt"
    if not file.is_file():
        pytest.skip(f"needs {file.name} in ../shared/data beside the project")
    theirs = torch.load(file, weights_only=True)[kind]
    files = save(tmp_path, ema=theirs["G"], discriminator=theirs["D"])
    options = {"model.data_preprocessor.output_channel_order": order}
    recipe = RECIPE if kind == "conditional" else UNCONDITIONAL
    report = import_official(recipe, tmp_path / "out.pth", **files, options=options)
    widths = {"model.generator.base_channels": 8, "model.discriminator.base_channels": 8}
    assert report.options == {**options, **widths}
    model = model_of(report)
    z, y = theirs["z"], theirs["y"]
    with torch.no_grad():
        for generator in (model.generator, model.generator_ema):
            images = colors(report, generator(z, label=y))
            torch.testing.assert_close(images, theirs["images_eval"], rtol=0, atol=1e-5)
        logits = model.discriminator(colors(report, theirs["x"]), label=y)
    torch.testing.assert_close(logits, theirs["logits_eval"], rtol=0, atol=1e-5)


def test_all_three_files(tmp_path: Path) -> None:
    """Width, classes and noise other than the recipe's; generator and EMA are two networks."""
    first, second = (tiny_official.networks(2, 1, noise_size=20, seed=seed) for seed in (0, 1))
    critic = tiny_official.Discriminator(3, 1).eval()
    files = save(tmp_path, generator=first["G"], ema=second["G"], discriminator=critic)
    report = import_official(RECIPE, tmp_path / "new" / "out.pth", **files)
    assert not report.stood_in
    sizes = {"generator.noise_size": 20, "generator.base_channels": 2, "discriminator.base_channels": 3}
    changed = ("num_classes", "generator.num_classes", "discriminator.num_classes")
    expected = {**sizes, **dict.fromkeys(changed, 1)}
    assert report.options == {f"model.{key}": value for key, value in expected.items()}
    model = model_of(report)
    z, y, x = (first[name] for name in "zyx")
    with torch.no_grad():
        pairs = [
            (colors(report, model.generator(z, label=y)), first["G"](z, y)),
            (colors(report, model.generator_ema(z, label=y)), second["G"](z, y)),
            (model.discriminator(colors(report, x), label=y), critic(x, y)),
        ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    # training goes on from the average, instead of overwriting it at its first update
    before, new = second["G"].linear.bias, first["G"].linear.bias
    model.generator_ema.update_parameters(model.generator)
    torch.testing.assert_close(model.generator_ema.module.noise2feat.bias, before.lerp(new, 1e-4), rtol=0, atol=1e-6)


def test_one_file_stands_for_what_it_can(tmp_path: Path) -> None:
    theirs = tiny_official.networks(2, 10)
    wrapped = {f"module.{name}": value for name, value in theirs["G"].state_dict().items()}  # as for several GPUs
    files = save(tmp_path, generator=theirs["G"], wrapped=wrapped, discriminator=theirs["D"])
    generator = import_official(RECIPE, tmp_path / "a.pth", generator=files["generator"])
    assert generator.stood_in.keys() == {"ema", "discriminator"}
    assert "model.discriminator.base_channels" not in generator.options  # parts without a file keep the recipe's size
    average = import_official(RECIPE, tmp_path / "b.pth", ema=files["wrapped"])
    assert average.stood_in.keys() == {"generator", "discriminator"}
    one, two = state_of(generator), state_of(average)
    assert all(torch.equal(one[name], two[name]) for name in one)  # the recipe's seed, too
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    critic = import_official(RECIPE, tmp_path / "c.pth", discriminator=files["discriminator"])
    assert torch.equal(torch.rand(3), expected)  # the caller's random numbers are left alone
    assert critic.stood_in.keys() == {"generator", "ema"}


def test_a_recipe_without_ema_and_with_the_authors_spectral_norm(tmp_path: Path) -> None:
    theirs = tiny_official.networks(2, 10)
    options = {
        "model.ema_config": None,
        "model.generator.sn_style": "ajbrock",
        "model.discriminator.sn_style": "ajbrock",
    }
    files = save(tmp_path, ema=theirs["G"], discriminator=theirs["D"])
    report = import_official(RECIPE, tmp_path / "out.pth", **files, options=options)
    model = model_of(report)
    assert report.sn_style == "ajbrock" and not model.with_ema_gen
    assert torch.equal(model.generator.noise2feat.u0, theirs["G"].linear.u0)
    with pytest.raises(OfficialMismatchError, match="keeps no EMA"):
        import_official(RECIPE, tmp_path / "x.pth", generator=files["ema"], ema=files["ema"], options=options)


def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    theirs = tiny_official.networks(1, 10)
    files = save(tmp_path, generator=theirs["G"], discriminator=theirs["D"])
    out = tmp_path / "out.pth"
    shared = {"model.generator.with_shared_embedding": True, "model.generator.split_noise": False}
    ours = import_official(RECIPE, tmp_path / "ours.pth", **files).out
    (tmp_path / "cut.pth").write_bytes(files["generator"].read_bytes()[:5000])
    odd = save(
        tmp_path,
        unknown={**theirs["G"].state_dict(), "shared.weight": torch.zeros(10, 128)},
        few=tiny_official.Discriminator(1, 4),
    )
    for given, error, message in (
        ({}, ValueError, "at least one file"),
        (dict(ema=tmp_path / "cut.pth"), BrokenCheckpointError, r"cut\.pth"),
        (dict(discriminator=files["generator"]), OfficialMismatchError, r"generator\.pth holds a generator"),
        (dict(generator=ours), OfficialMismatchError, r"ours\.pth is not a BigGAN of the authors"),
        (dict(ema=odd["unknown"]), OfficialMismatchError, r"unknown\.pth .*shared\.weight"),
        (dict(ema=files["generator"], discriminator=odd["few"]), OfficialMismatchError, "does not fit"),
        (dict(generator=files["generator"], options=shared), OfficialMismatchError, "does not fit the generator"),
    ):
        with pytest.raises(error, match=message):
            import_official(RECIPE, out, **given)
    with pytest.raises(OfficialMismatchError, match=r"moco_digits\.py has no BigGANGenerator"):
        import_official(recipe_path("moco_digits.py"), out, **files)
    assert not out.exists()
    with pytest.raises(ValueError, match=r"generator\.pth is one of the files to read"):
        import_official(RECIPE, files["generator"], generator=files["generator"])
