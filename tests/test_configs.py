"""Every recipe that is shipped: it builds, it is the one the paper gives, and a pair differs by its negatives."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope, Registry
from torch.nn import BatchNorm2d as BatchNorm

from nda_mm import registry
from nda_mm.negatives import build_negative
from nda_mm.utils.files import recipe_path

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
RECIPES = sorted(CONFIGS.glob("[a-z]*/*.py"))


def plain_twin(path):
    """The recipe that one with negatives is a diff of."""
    return path.parent / re.search(r'^_base_ = "(.+)"$', path.read_text(), re.MULTILINE)[1]


PAIRS = [(plain_twin(path), path) for path in RECIPES if path.name.startswith("nda_")]
MOCO = [path for path in RECIPES if path.name.startswith("moco_")]


def build(path, **options):
    config = Config.fromfile(path)
    config.merge_from_dict(options)
    pytest.importorskip(config.default_scope)
    DefaultScope.get_instance(f"test_{path.stem}", scope_name=config.default_scope)
    return config, MODELS.build(config.model)


def components(node):
    """The names of all components of ours in a config."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    own = [node["type"]] if isinstance(node, dict) and str(node.get("type", "")).startswith("nda_mm.") else []
    return own + [name for child in children for name in components(child)]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds(path):
    config, model = build(path)
    assert sum(parameter.numel() for parameter in model.parameters()) > 1000
    registries = [each for each in vars(registry).values() if isinstance(each, Registry) and each.scope == "nda_mm"]
    named = {name.removeprefix("nda_mm.") for name in components(config.to_dict())}
    assert named
    assert [name for name in named if all(each.get(name) is None for each in registries)] == []


@pytest.mark.parametrize(("plain", "nda"), PAIRS, ids=lambda path: path.stem)
def test_a_pair_differs_by_its_negatives_alone(plain, nda):
    plain, nda = Config.fromfile(plain).to_dict(), Config.fromfile(nda).to_dict()
    if plain["model"]["type"].startswith("nda_mm.NDA"):
        assert nda["model"].pop("negative")
        assert nda["model"].pop("fake_weight")
    elif plain["model"]["type"] == "nda_mm.DPC":
        assert build_negative(nda["model"].pop("negative"))
    else:
        added = nda["custom_hooks"].pop()
        assert added.pop("type") == "nda_mm.NDAContrastHook"
        assert build_negative(added.pop("negative"))
        assert added == {}
    assert plain == nda


@pytest.mark.parametrize(("_plain", "nda"), PAIRS, ids=lambda path: path.stem)
def test_a_recipe_with_negatives_is_a_short_diff(_plain, nda):
    assert len(nda.read_text().splitlines()) <= 10


class TestThePapersRecipe:
    """BigGAN, CIFAR-10, jigsaw: the figures of the authors' published run."""

    def test_schedule_and_optimizers(self):
        config = Config.fromfile(recipe_path("nda_biggan_cifar10.py"))
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
        _, model = build(recipe_path("nda_biggan_cifar10.py"), **options)
        assert sum(p.numel() for p in model.generator.parameters()) == generator
        assert sum(p.numel() for p in model.discriminator.parameters()) == discriminator

    def test_the_unconditional_twin_has_one_class(self):
        _, model = build(recipe_path("nda_biggan_cifar10_uncond.py"))
        assert model.num_classes == 1
        assert model.label_fn(num_batches=8).tolist() == [0] * 8

    def test_images_reach_the_discriminator_in_minus_one_to_one(self):
        _, model = build(recipe_path("nda_biggan_cifar10.py"))
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
    config = Config.fromfile(recipe_path("nda_biggan_images.py"))
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
    assert type(model).__module__ == "nda_mm.models.gans.conditional"
    assert type(model.negative).__name__ == "Jigsaw"
    assert model.fake_weight(0) == 0.25


class TestMoCo:
    """The settings of the MoCo authors' own demo on CIFAR-10, and what the recipes hold to among themselves."""

    def test_cifar10_is_the_authors_demo_with_the_head_of_version_2(self):
        config, model = build(recipe_path("moco_cifar10.py"))
        assert config.optim_wrapper.optimizer == dict(type="SGD", lr=0.06, momentum=0.9, weight_decay=5e-4)
        assert (config.train_dataloader.batch_size, config.train_cfg.max_epochs) == (512, 200)
        assert (model.queue.shape, model.head.temperature) == ((128, 4096), 0.1)
        assert model.encoder_k.momentum == pytest.approx(1 - 0.99)  # mmengine names the other share
        assert [type(layer).__name__ for layer in model.neck.mlp] == ["Linear", "ReLU", "Linear"]
        # torchvision's ResNet-18 has 11,176,512 weights without its classifier; the stem is 3x3 here, not 7x7.
        assert sum(p.numel() for p in model.backbone.parameters()) == 11_176_512 - 64 * 3 * (49 - 9)
        hook = config.custom_hooks[1]
        assert (hook.k, hook.temperature) == (200, 0.1)

    @pytest.mark.parametrize("path", MOCO, ids=lambda path: path.stem)
    def test_the_queue_is_a_multiple_of_the_batch_on_one_to_four_ranks(self, path):
        config = Config.fromfile(path)
        assert [n for n in (1, 2, 4) if config.model.queue_len % (n * config.train_dataloader.batch_size)] == []

    def test_the_width_is_an_override(self):
        narrow = {"backbone.base_channels": 16, "backbone.stem_channels": 16, "neck.in_channels": 128}
        _, model = build(recipe_path("moco_cifar10.py"), **{f"model.{key}": value for key, value in narrow.items()})
        keys, vector = model.backbone(torch.zeros(2, 3, 32, 32)), model.neck.mlp[0].in_features
        assert (keys[-1].shape[1], vector) == (128, 128)

    def test_the_views_of_digits_are_normalised_by_the_training_split(self):
        config, _ = build(recipe_path("moco_digits.py"))
        images = DATASETS.build({**config.train_dataloader.dataset, "pipeline": []}).images
        preprocessor = config.model.data_preprocessor
        assert preprocessor.mean == pytest.approx([images.mean()] * 3, abs=0.1)
        assert preprocessor.std == pytest.approx([images.std()] * 3, abs=0.1)

    def test_two_views_of_a_digit_differ_and_keep_its_range(self):
        config, _ = build(recipe_path("moco_digits.py"))
        views = DATASETS.build(config.train_dataloader.dataset)[0]["inputs"]
        assert [(view.shape, view.dtype) for view in views] == [((3, 32, 32), torch.uint8)] * 2
        assert not torch.equal(*views)
        assert all(int(view.max()) > 100 for view in views)

    @pytest.mark.parametrize("name", ["cifar10", "cifar100", "digits", "imagenet100"])
    def test_the_neighbours_are_of_the_training_split_and_nothing_is_augmented(self, name):
        config = Config.fromfile(recipe_path(f"moco_{name}.py"))
        hook = next(hook for hook in config.custom_hooks if hook.type == "nda_mm.KNNHook")
        splits = {key: hook[key].get("split", hook[key].get("data_prefix")) for key in ("bank", "test")}
        assert splits == {"bank": "train", "test": "val" if name == "imagenet100" else "test"}
        assert hook.bank.type == hook.test.type == config.train_dataloader.dataset.type
        assert not [step.type for key in ("bank", "test") for step in hook[key].pipeline if "Random" in step.type]

    @pytest.mark.parametrize("name", ["cifar10", "cifar100", "digits", "imagenet100"])
    def test_the_linear_probe_is_of_the_network_that_is_pretrained_and_sees_as_it_did(self, name):
        (moco, pretrained), (probe, classifier) = (
            build(recipe_path(f"{kind}_{name}.py")) for kind in ("moco", "linear")
        )
        shapes = [
            {key: value.shape for key, value in model.backbone.state_dict().items()}
            for model in (pretrained, classifier)
        ]
        assert shapes[0] == shapes[1]
        # A model's own preprocessor stands before the one that stock recipes give for all.
        theirs, ours = (each.model.get("data_preprocessor") or each.data_preprocessor for each in (moco, probe))
        assert [theirs[key] for key in ("mean", "std", "to_rgb")] == [ours[key] for key in ("mean", "std", "to_rgb")]
        classifier.train()
        assert not any(module.training for module in classifier.backbone.modules() if isinstance(module, BatchNorm))
        assert not any(parameter.requires_grad for parameter in classifier.backbone.parameters())
        assert probe.custom_hooks[0].type == "nda_mm.PretrainedCheckHook"
        assert probe.custom_hooks[0].required is True

    def test_the_line_that_is_added_is_the_one_for_a_stock_recipe(self, tmp_path):
        stock = "mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py"
        added = Config.fromfile(recipe_path("nda_moco_cifar10.py")).custom_hooks[-1].to_dict()
        (tmp_path / "mine.py").write_text(f"_base_ = {stock!r}\ncustom_hooks = [{added!r}]\n")
        config, _ = build(tmp_path / "mine.py")
        assert config.custom_hooks == [dict(type="nda_mm.NDAContrastHook", negative=dict(type="Jigsaw", grid=2))]
        hook = registry.HOOKS.build(config.custom_hooks[0])
        assert type(hook).__name__ == "NDAContrastHook"


class TestDPC:
    """The settings of the DPC authors, and what the recipes hold to among themselves."""

    @pytest.mark.parametrize("name", ["ucf101", "hmdb51", "k400"])
    def test_pretraining_is_the_authors(self, name):
        config, model = build(recipe_path(f"dpc_{name}.py"))
        assert sum(p.numel() for p in model.backbone.parameters()) == 14_057_536
        assert sum(p.numel() for p in model.aggregator.parameters()) == 3 * (512 * 256 + 256)
        assert (model.num_blocks, model.pred_steps, model.negative, model.temperature) == (8, 3, None, 1.0)
        assert config.optim_wrapper.optimizer == dict(type="Adam", lr=1e-3, weight_decay=1e-5)
        assert (config.train_dataloader.batch_size, config.train_cfg.max_epochs) == (128, 300)
        steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
        sample = steps["nda_mm.SampleBlocks"]
        assert (sample.num_blocks, sample.block_len, sample.frame_interval) == (8, 5, 5 if name == "k400" else 3)
        assert steps["Resize"].scale == (128, 128)  # the last one
        assert steps["nda_mm.RandomFrameGrey"].prob == 0.5
        assert list(steps)[-4:] == [
            "nda_mm.RandomFrameGrey",
            "nda_mm.FrameColorJitter",
            "FormatShape",
            "PackActionInputs",
        ]

    @pytest.mark.parametrize("name", ["ucf101", "hmdb51", "digits"])
    def test_fine_tuning_and_probe_are_of_the_encoder_that_is_pretrained_and_see_as_it_did(self, name):
        (dpc, pretrained), (tune, tuned), (alone, single), (probe, frozen) = (
            build(recipe_path(f"{kind}_{name}.py")) for kind in ("dpc", "dpc_finetune", "resnet2d3d", "dpc_linear")
        )
        shapes = {
            key: value.shape for key, value in pretrained.state_dict().items() if not key.startswith("predictor.")
        }
        for model in (tuned, frozen):
            assert {key: value.shape for key, value in model.backbone.state_dict().items()} == shapes
        own = {key.removeprefix("backbone."): value for key, value in shapes.items() if key.startswith("backbone.")}
        assert {key: value.shape for key, value in single.backbone.state_dict().items()} == own
        for key in ("mean", "std", "format_shape"):
            assert len({str(each.model.data_preprocessor[key]) for each in (dpc, tune, alone, probe)}) == 1
        blocks = next(step for step in dpc.train_dataloader.dataset.pipeline if step.type == "nda_mm.SampleBlocks")
        for config in (tune, alone, probe):
            loaders = [config[f"{split}_dataloader"] for split in ("train", "val", "test")]
            samples = [next(s for s in each.dataset.pipeline if s.type == "SampleFrames") for each in loaders]
            assert {each.clip_len for each in samples} == {blocks.num_blocks * blocks.block_len}
            assert {each.frame_interval for each in samples} == {blocks.frame_interval}
            assert samples[2].num_clips >= 3 and samples[2].test_mode and config.test_evaluator.type == "AccMetric"
        classes = {"ucf101": 101, "hmdb51": 51, "digits": 8}[name]
        assert {model.cls_head.num_classes for model in (tuned, single, frozen)} == {classes}

    @pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
    def test_fine_tuning_is_the_authors(self, name):
        config, model = build(recipe_path(f"dpc_finetune_{name}.py"))
        assert config.optim_wrapper.optimizer == dict(type="Adam", lr=1e-3, weight_decay=1e-3)
        assert config.optim_wrapper.paramwise_cfg.custom_keys == dict(backbone=dict(lr_mult=0.1))
        assert config.train_dataloader.batch_size == 128
        assert config.param_scheduler.milestones == {"ucf101": [60, 80], "hmdb51": [150, 250]}[name]
        assert [type(layer).__name__ for layer in model.cls_head.children()][1:] == ["BatchNorm1d", "Dropout", "Linear"]
        assert model.cls_head.dropout.p == 0.5

    @pytest.mark.parametrize("name", ["ucf101", "hmdb51", "digits"])
    def test_a_probe_trains_its_head_alone(self, name):
        config, model = build(recipe_path(f"dpc_linear_{name}.py"))
        model.train()
        assert [key for key, p in model.named_parameters() if p.requires_grad] == [
            f"cls_head.{key}" for key in ("norm.weight", "norm.bias", "fc_cls.weight", "fc_cls.bias")
        ]
        assert not any(module.training for module in model.backbone.modules())
        assert model.cls_head.training
        assert config.custom_hooks[0].required is True

    @pytest.mark.slow
    def test_moving_digits_are_normalised_by_the_training_split(self):
        config, model = build(recipe_path("dpc_digits.py"))
        clips = DATASETS.build({**config.train_dataloader.dataset, "pipeline": [], "num_clips": 160})
        frames = np.stack([clips[index]["array"] for index in range(160)])
        assert config.model.data_preprocessor.mean == pytest.approx([frames.mean()] * 3, abs=0.5)
        assert config.model.data_preprocessor.std == pytest.approx([frames.std()] * 3, abs=0.5)
        blocks = DATASETS.build(config.train_dataloader.dataset)[0]["inputs"]
        assert (blocks.shape, blocks.dtype) == ((8, 3, 5, 32, 32), torch.uint8)
        features = model.encode(blocks[None].float())
        assert features.shape == (1, 8, 32, 4, 4)
