"""The GAN recipes: the paper's figures, what is mmagic's own, and that they train on a data set of the same form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

pytest.importorskip("mmagic")

from nda_mm.datasets.images.imagenet import prepare_imagenet
from nda_mm.utils.files import recipe_path

RNG = np.random.default_rng(0)
PARTS = ("generator", "discriminator")


def recipe(name: str) -> Config:
    return Config(without_scopes(Config.fromfile(recipe_path(name)).to_dict()))


def stock(name: str, folder: Path) -> Config:
    """A recipe of mmagic's, inherited as mmengine does it."""
    (folder / "stock.py").write_text(f"_base_ = 'mmagic::{name}'\n")
    return Config(without_scopes(Config.fromfile(folder / "stock.py").to_dict()))


def without_scopes(node: Any) -> Any:
    """A config without the notes that mmengine makes of where a part was inherited from."""
    if isinstance(node, dict):
        return {key: without_scopes(child) for key, child in node.items() if key != "_scope_"}
    return [without_scopes(child) for child in node] if isinstance(node, list) else node


class TestThePapersRecipe:
    """BigGAN, CIFAR-10, jigsaw: the figures of the authors' published run."""

    def test_schedule_and_optimizers(self) -> None:
        config = recipe("nda_biggan_cifar10")
        assert (config.train_dataloader.batch_size, config.model.discriminator_steps) == (64, 4)
        # 500 epochs: floor(50,000 / 64) batches, four to a step of the generator
        assert config.generator_steps == 500 * (50_000 // 64 // 4) == 97_500
        assert config.train_cfg.max_iters == 390_000
        for part in PARTS:
            assert config.optim_wrapper[part].optimizer == dict(type="Adam", lr=2e-4, betas=(0.0, 0.999))
        assert config.model.ema_config.momentum == pytest.approx(1 - 0.9999)
        assert config.model.ema_config.start_iter == 1000
        assert config.model.negative == dict(type="Jigsaw", grid=2)
        assert config.model.fake_weight == 0.25
        steps = [transform["type"] for transform in config.train_dataloader.dataset.pipeline]
        assert steps == ["PackInputs"]  # no flip, no other augmentation

    def test_the_networks_have_as_many_weights_as_the_authors(self, build: Any) -> None:
        _, model = build("nda_biggan_cifar10", **{f"model.{part}.base_channels": 32 for part in PARTS})
        counts = [sum(p.numel() for p in getattr(model, part).parameters()) for part in PARTS]
        assert counts == [1_218_307, 1_055_105]

    def test_images_reach_the_discriminator_in_minus_one_to_one(self, build: Any) -> None:
        _, model = build("nda_biggan_cifar10_uncond")
        mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
        assert [((value - mean) / std).unique().tolist() for value in (0.0, 255.0)] == [[-1.0], [1.0]]
        assert model.label_fn(num_batches=8).tolist() == [0] * 8  # one class


def test_one_line_brings_negatives_to_a_stock_recipe_of_mmagic(tmp_path: Path, build: Any) -> None:
    (tmp_path / "mine.py").write_text(
        "_base_ = 'mmagic::biggan/biggan_2xb25-500kiters_cifar10-32x32.py'\n"
        "model = dict(type='nda_mm.NDABigGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)\n"
    )
    _, model = build(str(tmp_path / "mine.py"))
    assert (type(model).__name__, type(model.negative).__name__) == ("NDABigGAN", "Jigsaw")
    assert model.fake_weight(0) == 0.25


def test_imagenet_is_mmagics_recipe(tmp_path: Path) -> None:
    ours = recipe("biggan_imagenet128")
    theirs = stock("biggan/biggan_ajbrock-sn_8xb32-1500kiters_imagenet1k-128x128.py", tmp_path)
    for part in PARTS:  # the one setting of the networks that is not mmagic's
        assert "sn_style" not in theirs.model[part] and ours.model[part].pop("sn_style") == "torch"
        assert ours.optim_wrapper[part] == theirs.optim_wrapper[part]
    assert {**ours.model, "type": "BigGAN"} == theirs.model.to_dict()
    assert ours.train_cfg.max_iters == theirs.train_cfg.max_iters
    assert ours.train_dataloader.batch_size == theirs.train_dataloader.batch_size
    # 8 GPUs with 32 images each, 8 batches accumulated
    assert ours.generator_steps == theirs.train_cfg.max_iters / theirs.optim_wrapper.generator.accumulative_counts


@pytest.mark.parametrize(
    ("name", "host", "gpus"),
    [
        ("sngan_cifar10", "sngan_proj/sngan-proj_woReLUinplace_lr2e-4-ndisc5-1xb64_cifar10-32x32.py", 1),
        ("stylegan2_images", "styleganv2/stylegan2_c2_8xb4-800kiters_ffhq-256x256.py", 8),
    ],
)
def test_networks_and_optimizers_are_mmagics(name: str, host: str, gpus: int, tmp_path: Path) -> None:
    ours, theirs = recipe(name), stock(host, tmp_path)
    for part in PARTS:
        assert ours.model[part] == theirs.model[part]
        for setting in ("betas", "lr"):
            own, other = (getattr(each.optim_wrapper[part].optimizer, setting) for each in (ours, theirs))
            assert own == pytest.approx(other)
    assert ours.train_dataloader.batch_size == gpus * theirs.train_dataloader.batch_size


def test_spectral_norm_of_every_biggan_has_its_gradient(build: Any) -> None:
    """No layer is of mmagic's ``sn_style='ajbrock'``, whose gradient misses sigma."""
    for name in ("biggan_cifar10", "biggan_celeba64", "biggan_stl10", "biggan_imagenet128", "biggan_digits"):
        _, model = build(name)
        layers = list(model.modules())
        assert sum(hasattr(layer, "weight_orig") for layer in layers) > 10, name
        assert not any(hasattr(layer, "sn_weight") for layer in layers), name


def pictures(folder: Path, count: int = 8, size: tuple[int, int] = (96, 96), suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06d}{suffix}")


def two_classes(root: Path) -> None:
    for name in ("bird", "cat"):
        pictures(root / name, 4)


def celeba(root: Path) -> None:
    pictures(root / "img_align_celeba", size=(218, 178), suffix=".jpg")


def imagenet(root: Path) -> None:
    for name in ("n01440764", "n01443537"):
        pictures(root / "train" / name, 4, suffix=".JPEG")
    prepare_imagenet(root, root, allow_partial=True)


BIGGAN = {f"model.{part}.base_channels": 2 for part in PARTS}
ATTENTIVE = dict.fromkeys(BIGGAN, 8)  # self-attention has an eighth of the channels
NARROW = {"model.generator.arch_cfg.in_channels": [8] * 3, "model.generator.arch_cfg.out_channels": [8] * 3} | {
    "model.discriminator.arch_cfg.in_channels": [3, 8, 8, 8],
    "model.discriminator.arch_cfg.out_channels": [8] * 4,
}
PARTIAL = {"train_dataloader.dataset.allow_partial": True}
STYLE = {"train_dataloader.dataset.size": 8, "model.generator.out_size": 8, "model.discriminator.in_size": 8}
FOLDER = dict(type="nda_mm.ImageFolder", size=32, image_key="gt", pipeline=[dict(type="PackInputs")])
CASES: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "nda_biggan_images": (pictures, BIGGAN),
    "nda_biggan_celeba64": (celeba, ATTENTIVE | PARTIAL),
    "nda_biggan_stl10": (lambda root: pictures(root / "unlabeled"), NARROW | PARTIAL),
    "nda_biggan_imagenet128": (imagenet, ATTENTIVE),
    "nda_sngan_cifar10": (two_classes, dict.fromkeys(BIGGAN, 4)),
    "nda_stylegan2_images": (pictures, STYLE | {"model.generator.style_channels": 8, "model.generator.num_mlps": 1}),
}


@pytest.mark.parametrize(
    "name", [name if name == "nda_biggan_images" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_trains_on_a_set_of_the_same_form(name: str, tmp_path: Path, small_runner: Any) -> None:
    """Two steps on a set made here, with narrow networks: both move, and the grids are drawn."""
    make, options = CASES[name]
    make(tmp_path)
    config = recipe(name)
    if name == "nda_sngan_cifar10":  # a folder instead of the archive
        config.train_dataloader.dataset = FOLDER
    accumulated = config.optim_wrapper.generator.get("accumulative_counts", 1)
    short = {"train_dataloader.batch_size": 4, "model.discriminator_steps": 1, "train_cfg.max_iters": 2}
    short |= {f"optim_wrapper.{part}.accumulative_counts": min(accumulated, 2) for part in PARTS}
    short |= {"train_dataloader.dataset.data_root": str(tmp_path)}
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.default_hooks.checkpoint.save_best = None
    config.custom_hooks[-1].samples_per_class = 1  # of the sample grids
    runner = small_runner(config, tmp_path / "run", **options, **short)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    for part in PARTS:
        assert any(not torch.equal(value, after[key]) for key, value in before.items() if key.startswith(f"{part}."))
    assert (tmp_path / "run" / "negatives.png").is_file()
    assert (tmp_path / "run" / "samples" / "iter_2.png").is_file()
    side = runner.model.image_sizes()[0]
    assert tuple(runner.train_dataloader.dataset[0]["data_samples"].gt_img.shape[-2:]) == side
