from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from small_gan import PixelNetwork

from nda_mm.command_line import add_input_options
from nda_mm.datasets import Digits
from nda_mm.evaluation.audit_inputs import (
    config_images,
    config_negatives,
    default_negatives,
    network_features,
    parse_settings,
    read_inputs,
)


def test_images_of_a_config_are_those_of_its_training_set() -> None:
    before = DefaultScope.get_current_instance()
    dataset = dict(type="nda_mm.Digits", split="test", size=16, pipeline=[dict(type="PackInputs")])
    config = Config(dict(default_scope="mmagic", train_dataloader=dict(dataset=dataset)))
    images = config_images(config)
    expected = Digits(split="test", size=16).images
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1), expected)
    assert DefaultScope.get_current_instance() is before

    few = config_images(config, count=10, seed=1)
    assert torch.equal(few, config_images(config, count=10, seed=1))
    assert not torch.equal(few, config_images(config, count=10, seed=2))
    known = {image.tobytes() for image in expected}
    assert all(image.tobytes() in known for image in few.permute(0, 2, 3, 1).numpy())


def test_images_of_another_hosts_pipeline_come_in_rgb(tmp_path: Path) -> None:
    pytest.importorskip("mmpretrain")
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(image).save(tmp_path / "a" / "0.png")
    loading = dict(type="LoadImageFromFile", imdecode_backend="cv2", color_type="color")  # as BGR
    dataset = dict(type="CustomDataset", data_prefix=str(tmp_path), pipeline=[loading, dict(type="PackInputs")])
    settings = dict(data_preprocessor=dict(to_rgb=True), train_dataloader=dict(dataset=dataset))
    images = config_images(Config(dict(settings, default_scope="mmpretrain")))
    np.testing.assert_array_equal(images[0].permute(1, 2, 0), image)


def test_negatives_are_found_wherever_a_config_names_them() -> None:
    in_pipeline = dict(type="MakeNegative", negative=dict(type="Jigsaw", grid=4))
    config = Config(
        dict(
            model=dict(negative=dict(type="Jigsaw", grid=4)),
            custom_hooks=[dict(type="nda_mm.NDAContrastHook", negative=dict(type="nda_mm.Cutout"))],
            train_dataloader=dict(dataset=dict(pipeline=[in_pipeline])),
            train_pipeline=[dict(type="Other", negative=3)],
        )
    )
    negatives = config_negatives(config)
    assert list(negatives) == ["Jigsaw(grid=4)", "Cutout"]


def test_all_registered_negatives_for_images_and_the_reason_for_the_others() -> None:
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    usable, unusable = default_negatives(images)
    assert {"Jigsaw", "Stitch", "Mixup", "CutMix", "Cutout", "Rotate", "Shift"} <= set(usable)
    assert {"RandomNegative", "Curriculum", "ExternalStitch", "ShuffleFrames"} <= set(unusable)
    assert "Jigsaw" in default_negatives(images[..., :15, :])[1]  # 2 does not divide 15


def test_network_sees_bytes_in_three_channels() -> None:
    gray = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network = PixelNetwork()
    features = network_features(network)(gray.float() / 127.5 - 1)
    assert torch.equal(features, network(gray.expand(5, 3, 16, 16)).features)


@pytest.mark.parametrize(
    "text", ["dict(type=open('x'))", "__import__('os').getcwd()", "dict(grid=4)", "dict(**{'type': 'Jigsaw'})"]
)
def test_only_literals_with_a_type_are_read(text: str) -> None:
    with pytest.raises(ValueError, match="dict"):
        parse_settings(text)


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_input_options(parser)
    return parser.parse_args(arguments)


def test_options_choose_images_and_negatives(tmp_path: Path) -> None:
    for index in range(6):
        Image.new("RGB", (30, 40), (index, index, index)).save(tmp_path / f"{index}.png")
    wanted = ["--negative", "dict(type='Jigsaw', grid=4)", "--negative", "Shift"]
    folder = ["--images", str(tmp_path), "--size", "16"]
    images, negatives = read_inputs(parse(*folder, *wanted), 4)
    assert images.shape == (4, 3, 16, 16)
    assert list(negatives) == ["Jigsaw(grid=4)", "Shift"]

    path = tmp_path / "config.py"
    path.write_text("model = dict(negative=dict(type='Jigsaw', grid=2))\n")
    options = [str(path), *folder, "--cfg-options", "model.negative.grid=4"]
    assert list(read_inputs(parse(*options), 4)[1]) == ["Jigsaw(grid=4)"]
    assert len(read_inputs(parse("--all", *options), 4)[1]) >= 7
    with pytest.raises(ValueError, match="train_dataloader"):
        read_inputs(parse(str(path)), 4)
