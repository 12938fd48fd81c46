"""The paper authors' networks against mmagic's with the converted tensors, and their files as our checkpoints."""

from __future__ import annotations

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

SIZES = [(1, 1, 24), (3, 7, 40)]


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
            ("G", dict(drop=["linear.u0"]), r"missing: linear\.u0; unknown: none$"),
            ("G", {"blocks.3.0.conv1.weight": (8, 8, 3, 3)}, r"generator .*none; unknown: blocks\.3\.0\.conv1"),
            ("D", {"embed.u1": (1, 4)}, r"discriminator .*unknown: embed\.u1"),
            ("D", {"embed.sv0": torch.tensor([torch.nan])}, r"finite.* embed\.sv0$"),
            ("D", {"linear.bias": torch.ones(1, dtype=torch.int64)}, r"floating point.* linear\.bias$"),
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

    def test_unknown_settings(self) -> None:
        weights = tiny_official.networks(1, 2)["D"].state_dict()
        with pytest.raises(ValueError, match=r"sn_style must be one of .*'keras'"):
            convert_official(weights, sn_style="keras")
        with pytest.raises(ValueError, match=r"kind must be one of .*'critic'"):
            official_names("critic")
        with pytest.raises(ValueError, match=r"channel_order must be one of .*'GBR'"):
            convert_official(weights, channel_order="GBR")


RECIPE, UNCONDITIONAL = recipe_path("nda_biggan_cifar10.py"), recipe_path("nda_biggan_cifar10_uncond.py")


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


def colours(report: ImportReport, images: Tensor) -> Tensor:
    """Between the model's order and RGB, either way."""
    return images[:, [2, 1, 0]] if report.channel_order == "BGR" else images


@pytest.mark.parametrize("order", ["BGR", "RGB"])
@pytest.mark.parametrize("manner", ["conditional", "unconditional"])
def test_the_authors_own_networks_and_outputs(needs_shared_data: Path, tmp_path: Path, manner: str, order: str) -> None:
    file = needs_shared_data / "authors_biggan_width8.pt"
    if not file.is_file():
        pytest.skip(f"needs {file.name} in ../shared/data beside the project")
    theirs = torch.load(file, weights_only=True)[manner]
    files = save(tmp_path, ema=theirs["G"], discriminator=theirs["D"])
    options = {"model.data_preprocessor.output_channel_order": order}
    recipe = RECIPE if manner == "conditional" else UNCONDITIONAL
    report = import_official(recipe, tmp_path / "out.pth", **files, options=options)
    assert report.options == {
        **options, "model.generator.base_channels": 8, "model.discriminator.base_channels": 8,
    }  # fmt: skip
    model = model_of(report)
    z, y = theirs["z"], theirs["y"]
    with torch.no_grad():
        for generator in (model.generator, model.generator_ema):
            images = colours(report, generator(z, label=y))
            torch.testing.assert_close(images, theirs["images_eval"], rtol=0, atol=1e-5)
        logits = model.discriminator(colours(report, theirs["x"]), label=y)
    torch.testing.assert_close(logits, theirs["logits_eval"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("classes", [1, 10, 3])
def test_all_three_files(tmp_path: Path, classes: int) -> None:
    """Width, classes and noise other than the recipe's; generator and average are two networks."""
    first, second = (tiny_official.networks(2, classes, noise_size=20, seed=seed) for seed in (0, 1))
    files = save(tmp_path, generator=first["G"], ema=second["G"], discriminator=tiny_official.Discriminator(3, classes))
    critic = tiny_official.Discriminator(3, classes).eval()
    critic.load_state_dict(torch.load(files["discriminator"], weights_only=True))
    report = import_official(RECIPE, tmp_path / "new" / "out.pth", **files)
    assert not report.stood_in
    sizes = {"generator.noise_size": 20, "generator.base_channels": 2, "discriminator.base_channels": 3}
    changed = {"num_classes", "generator.num_classes", "discriminator.num_classes"} if classes != 10 else set()
    assert report.options == {
        f"model.{key}": value for key, value in {**sizes, **dict.fromkeys(changed, classes)}.items()
    }
    model = model_of(report)
    z, y, x = (first[name] for name in "zyx")
    with torch.no_grad():
        pairs = [
            (colours(report, model.generator(z, label=y)), first["G"](z, y)),
            (colours(report, model.generator_ema(z, label=y)), second["G"](z, y)),
            (model.discriminator(colours(report, x), label=y), critic(x, y)),
        ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    # training goes on from the average, instead of overwriting it at its first update
    before, new = second["G"].linear.bias, first["G"].linear.bias
    model.generator_ema.update_parameters(model.generator)
    torch.testing.assert_close(model.generator_ema.module.noise2feat.bias, before.lerp(new, 1e-4), rtol=0, atol=1e-6)
    assert not torch.equal(before, new)


def test_one_file_stands_for_what_it_can(tmp_path: Path) -> None:
    theirs = tiny_official.networks(2, 10)
    files = save(tmp_path, generator=theirs["G"], discriminator=theirs["D"])
    generator = import_official(RECIPE, tmp_path / "a.pth", generator=files["generator"])
    assert generator.stood_in["ema"] == "the generator stands for its moving average"
    assert generator.stood_in["discriminator"].startswith("not given: random weights")
    # parts that are not in the files keep the recipe's size
    assert "model.discriminator.base_channels" not in generator.options
    critic = import_official(RECIPE, tmp_path / "b.pth", discriminator=files["discriminator"])
    assert critic.stood_in == {"generator": "not given: random weights, nothing to sample"}
    again = import_official(RECIPE, tmp_path / "c.pth", discriminator=files["discriminator"])
    first, second = (torch.load(report.out, weights_only=True)["state_dict"] for report in (critic, again))
    assert all(torch.equal(first[name], second[name]) for name in first)  # the recipe's seed, not the day's


def test_a_recipe_without_average_and_in_the_authors_manner_of_norm(tmp_path: Path) -> None:
    theirs = tiny_official.networks(2, 10)
    options = {
        "model.ema_config": None, "model.generator.sn_style": "ajbrock", "model.discriminator.sn_style": "ajbrock",
    }  # fmt: skip
    files = save(tmp_path, ema=theirs["G"], discriminator=theirs["D"])
    report = import_official(RECIPE, tmp_path / "out.pth", **files, options=options)
    model = model_of(report)
    assert report.sn_style == "ajbrock" and not model.with_ema_gen
    assert torch.equal(model.generator.noise2feat.u0, theirs["G"].linear.u0)
    with torch.no_grad():
        images = colours(report, model.generator(theirs["z"], label=theirs["y"]))
    torch.testing.assert_close(images, theirs["G"](theirs["z"], theirs["y"]), rtol=0, atol=1e-5)
    with pytest.raises(OfficialMismatchError, match="keeps no moving average.*give one of the two"):
        import_official(RECIPE, tmp_path / "x.pth", generator=files["ema"], ema=files["ema"], options=options)


def test_the_callers_random_numbers_go_on_undisturbed(tmp_path: Path) -> None:
    files = save(tmp_path, discriminator=tiny_official.networks(1, 10)["D"])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    import_official(RECIPE, tmp_path / "out.pth", **files)
    assert torch.equal(torch.rand(3), expected)


def test_names_of_a_network_wrapped_for_several_gpus(tmp_path: Path) -> None:
    theirs = tiny_official.networks(1, 10)
    plain = save(tmp_path, ema=theirs["G"])
    wrapped = save(tmp_path, wrapped={f"module.{name}": value for name, value in theirs["G"].state_dict().items()})
    one = import_official(RECIPE, tmp_path / "a.pth", ema=plain["ema"])
    two = import_official(RECIPE, tmp_path / "b.pth", ema=wrapped["wrapped"])
    first, second = (torch.load(report.out, weights_only=True)["state_dict"] for report in (one, two))
    assert all(torch.equal(first[name], second[name]) for name in first)


class TestRefusals:
    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, Path]:
        theirs = tiny_official.networks(1, 10)
        return save(tmp_path, generator=theirs["G"], discriminator=theirs["D"])

    def test_nothing_given_or_nothing_there(self, tmp_path: Path, files: dict[str, Path]) -> None:
        with pytest.raises(ValueError, match="give at least one file"):
            import_official(RECIPE, tmp_path / "out.pth")
        with pytest.raises(FileNotFoundError, match=r"no checkpoint .*absent\.pth"):
            import_official(RECIPE, tmp_path / "out.pth", ema=tmp_path / "absent.pth")
        with pytest.raises(ValueError, match=r"generator\.pth is one of the files to read"):
            import_official(RECIPE, files["generator"], generator=files["generator"])

    def test_a_damaged_file(self, tmp_path: Path, files: dict[str, Path]) -> None:
        (tmp_path / "cut.pth").write_bytes(files["generator"].read_bytes()[:5000])
        with pytest.raises(BrokenCheckpointError, match=r"cut\.pth is truncated or damaged"):
            import_official(RECIPE, tmp_path / "out.pth", ema=tmp_path / "cut.pth")

    def test_a_file_in_the_wrong_place(self, tmp_path: Path, files: dict[str, Path]) -> None:
        with pytest.raises(OfficialMismatchError, match=r"generator\.pth holds a generator, but was given as a discri"):
            import_official(RECIPE, tmp_path / "out.pth", discriminator=files["generator"])

    def test_a_checkpoint_of_ours(self, tmp_path: Path, files: dict[str, Path]) -> None:
        ours = import_official(RECIPE, tmp_path / "ours.pth", **files).out
        with pytest.raises(OfficialMismatchError, match=r"ours\.pth is no file of the authors' code.*needs no import"):
            import_official(RECIPE, tmp_path / "out.pth", generator=ours)

    def test_unknown_tensors(self, tmp_path: Path, files: dict[str, Path]) -> None:
        weights = torch.load(files["generator"], weights_only=True)
        odd = save(tmp_path, odd={**weights, "shared.weight": torch.zeros(10, 128)})
        with pytest.raises(OfficialMismatchError, match=r"odd\.pth is no BigGAN .*unknown: shared\.weight"):
            import_official(RECIPE, tmp_path / "out.pth", ema=odd["odd"])
        assert not (tmp_path / "out.pth").exists()

    def test_another_shape(self, tmp_path: Path, files: dict[str, Path]) -> None:
        weights = torch.load(files["discriminator"], weights_only=True)
        odd = save(tmp_path, odd={**weights, "blocks.1.0.conv2.weight": torch.zeros(4, 4, 1, 1)})
        with pytest.raises(OfficialMismatchError, match=r"odd\.pth does not fit the discriminator .*conv2"):
            import_official(RECIPE, tmp_path / "out.pth", discriminator=odd["odd"])
        assert not (tmp_path / "out.pth").exists()

    def test_files_that_do_not_belong_together(self, tmp_path: Path, files: dict[str, Path]) -> None:
        other = save(tmp_path, wide=tiny_official.Generator(2, 10, 24), few=tiny_official.Discriminator(1, 4))
        with pytest.raises(OfficialMismatchError, match=r"wide\.pth is no moving average of .*generator\.pth"):
            import_official(RECIPE, tmp_path / "out.pth", generator=files["generator"], ema=other["wide"])
        with pytest.raises(OfficialMismatchError, match=r"numbers of classes differ.*10 classes.*few\.pth.*4 classes"):
            import_official(RECIPE, tmp_path / "out.pth", ema=files["generator"], discriminator=other["few"])

    def test_a_recipe_of_another_network(self, tmp_path: Path, files: dict[str, Path]) -> None:
        with pytest.raises(OfficialMismatchError, match=r"generator\.pth does not fit the generator of .*digits.py: "):
            import_official(recipe_path("nda_biggan_digits.py"), tmp_path / "out.pth", **files)
        with pytest.raises(OfficialMismatchError, match=r"moco_digits\.py has no BigGANGenerator as model\.generator"):
            import_official(recipe_path("moco_digits.py"), tmp_path / "out.pth", **files)
        for options in ({"model.generator.with_spectral_norm": False}, {"model.generator.with_shared_embedding": True}):
            options["model.generator.split_noise"] = False
            with pytest.raises(OfficialMismatchError, match=r"does not fit the generator of"):
                import_official(RECIPE, tmp_path / "out.pth", **files, options=options)
        assert not (tmp_path / "out.pth").exists()
