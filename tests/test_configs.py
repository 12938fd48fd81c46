"""Every recipe that is shipped: it builds, it is the one the paper gives, and a pair differs by its negatives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS, DefaultScope

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
RECIPES = sorted(CONFIGS.glob("*.py"))
PAIRS = [(path.with_name(path.name.removeprefix("nda_")), path) for path in RECIPES if path.name.startswith("nda_")]


def build(path, **options):
    config = Config.fromfile(path)
    config.merge_from_dict(options)
    pytest.importorskip(config.default_scope)
    DefaultScope.get_instance(f"test_{path.stem}", scope_name=config.default_scope)
    return config, MODELS.build(config.model)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds(path):
    config, model = build(path)
    assert sum(parameter.numel() for parameter in model.parameters()) > 1000
    assert config.train_dataloader.dataset.type.startswith("nda_mm.")


@pytest.mark.parametrize(("plain", "nda"), PAIRS, ids=lambda path: path.stem)
def test_a_pair_differs_by_its_negatives_alone(plain, nda):
    plain, nda = Config.fromfile(plain).to_dict(), Config.fromfile(nda).to_dict()
    added = {key: nda["model"].pop(key) for key in ("negative", "fake_weight")}
    assert added["negative"]
    assert plain == nda


@pytest.mark.parametrize(("_plain", "nda"), PAIRS, ids=lambda path: path.stem)
def test_a_recipe_with_negatives_is_a_short_diff(_plain, nda):
    assert len(nda.read_text().splitlines()) <= 10


class TestThePapersRecipe:
    """BigGAN, CIFAR-10, jigsaw: the figures of the authors' published run."""

    def test_schedule_and_optimizers(self):
        config = Config.fromfile(CONFIGS / "nda_biggan_cifar10.py")
        assert config.train_dataloader.batch_size == 64
        assert config.model.discriminator_steps == 4
        # 500 epochs: floor(50,000 / 64) batches, four to a step of the generator
        assert config.generator_steps == 500 * (50_000 // 64 // 4) == 97_500
        assert config.train_cfg.max_iters == 390_000
        for name in ("generator", "discriminator"):
            assert config.optim_wrapper[name].optimizer == dict(type="Adam", lr=2e-4, betas=(0.0, 0.999))
        assert config.model.ema_config.momentum == pytest.approx(1 - 0.9999)
        assert config.model.ema_config.start_iter == 1000
        assert config.model.negative == dict(type="Jigsaw", grid=2)
        assert config.model.fake_weight == 0.25
        steps = [transform["type"] for transform in config.train_dataloader.dataset.pipeline]
        assert steps == ["PackInputs"]  # no flip, no other augmentation

    @pytest.mark.parametrize(("width", "generator", "discriminator"), [(32, 1_218_307, 1_055_105)])
    def test_the_networks_have_as_many_weights_as_the_authors(self, width, generator, discriminator):
        options = {f"model.{name}.base_channels": width for name in ("generator", "discriminator")}
        _, model = build(CONFIGS / "nda_biggan_cifar10.py", **options)
        assert sum(p.numel() for p in model.generator.parameters()) == generator
        assert sum(p.numel() for p in model.discriminator.parameters()) == discriminator

    def test_the_unconditional_twin_has_one_class(self):
        _, model = build(CONFIGS / "nda_biggan_cifar10_uncond.py")
        assert model.num_classes == 1
        assert model.label_fn(num_batches=8).tolist() == [0] * 8

    def test_images_reach_the_discriminator_in_minus_one_to_one(self):
        _, model = build(CONFIGS / "nda_biggan_cifar10.py")
        low, high = torch.zeros(3, 1, 1), torch.full((3, 1, 1), 255.0)
        mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
        assert ((low - mean) / std).unique().tolist() == [-1.0]
        assert ((high - mean) / std).unique().tolist() == [1.0]


def test_a_folder_of_own_images_trains_by_one_override(tmp_path):
    from PIL import Image

    from nda_mm.engine import launch

    draw = np.random.default_rng(0)
    for number in range(12):
        size = (40 + number, 33)
        Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    config = Config.fromfile(CONFIGS / "nda_biggan_images.py")
    config.merge_from_dict({"train_dataloader.dataset.data_root": str(tmp_path)})
    # what follows makes it small, no more
    config.merge_from_dict({f"model.{name}.base_channels": 2 for name in ("generator", "discriminator")})
    config.merge_from_dict(
        {"train_dataloader.batch_size": 4, "train_cfg.max_iters": 4, "model.ema_config.start_iter": 0}
    )
    config.work_dir = str(tmp_path / "run")
    config.launcher = "none"
    runner = launch.build_runner(config)
    before = {name: value.clone() for name, value in runner.model.generator.named_parameters()}
    runner.train()
    assert runner.iter == 4
    assert any(not torch.equal(before[name], value) for name, value in runner.model.generator.named_parameters())
    assert (tmp_path / "run" / "negatives.png").is_file()
    assert len(runner.train_dataloader.dataset) == 12


def test_one_line_brings_negatives_to_a_stock_recipe_of_mmagic(tmp_path):
    pytest.importorskip("mmagic")
    path = tmp_path / "mine.py"
    path.write_text(
        "_base_ = 'mmagic::biggan/biggan_2xb25-500kiters_cifar10-32x32.py'\n"
        "model = dict(type='nda_mm.NDABigGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)\n"
    )
    _, model = build(path)
    assert type(model).__module__ == "nda_mm.models.gan"
    assert type(model.negative).__name__ == "Jigsaw"
    assert model.fake_weight(0) == 0.25
