"""--check: a config's own backbone, filled from the file."""

from __future__ import annotations

import pytest
import tiny_backbones as tiny
import torch

from nda_mm.conversion import BackboneMismatchError, convert_backbone
from nda_mm.conversion.checks import check_config
from nda_mm.utils.files import recipe_path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The kind of backbone that moco_digits.py trains."""
    net = tiny.build("mmpretrain", 18, type="ResNet_CIFAR", base_channels=16, stem_channels=16)
    return tiny.save(tiny.randomise(net), "mmpretrain", tmp_path_factory.mktemp("small") / "moco.pth")


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    net = tiny.randomise(tiny.build("torchvision", 50))
    return tiny.save(net, "torchvision", tmp_path_factory.mktemp("r50") / "r50.pth")


@pytest.mark.parametrize("recipe", ["tsn_digits", "tsm_digits", "i3d_digits"])
def test_the_digits_recipes_take_the_small_backbone(tmp_path, small, recipe, capsys):
    report = convert_backbone(small, tmp_path / "out.pth", "mmpretrain", config=str(recipe_path(f"{recipe}.py")))
    assert list(report.checked.values()) == [100]
    assert f"checked   the backbone of {recipe_path(recipe)}.py bears 100 of 100 tensors" in str(report)
    printed = capsys.readouterr()
    assert not printed.out and "load model from" not in printed.err  # the report is what there is to read


def test_inputs_unlike_those_of_the_pretraining_are_warned_of(tmp_path, small):
    checkpoint = torch.load(small)
    for mean, warned in (([78.8] * 3, False), ([123.675, 116.28, 103.53], True)):
        text = f"model = dict(data_preprocessor=dict(mean={mean}, std=[88.9, 88.9, 88.9]))"
        torch.save({**checkpoint, "meta": {"cfg": text}}, tmp_path / "a.pth")
        config = str(recipe_path("tsn_digits.py"))
        report = convert_backbone(tmp_path / "a.pth", tmp_path / "out.pth", "mmpretrain", config=config)
        assert ("WARNING   the config has mean=[78.8, 78.8, 78.8]" in str(report)) == warned
        assert "WARNING   the config has std" not in str(report)
        assert f"inputs    mean={mean}" in str(report)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["tsn_ucf101", "tsm_ucf101", "i3d_ucf101"])
def test_the_ucf101_recipes_take_a_resnet50(tmp_path, resnet50, recipe):
    report = convert_backbone(resnet50, tmp_path / "out.pth", "torchvision", config=str(recipe_path(f"{recipe}.py")))
    assert list(report.checked.values()) == [265]


@pytest.mark.slow
def test_a_detectors_shared_head_is_checked_too(tmp_path, resnet50):
    config = tmp_path / "c4.py"
    config.write_text(
        "default_scope = 'mmdet'\nmodel = dict(\n    backbone=dict(type='ResNet', depth=50, num_stages=3,"
        " strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),\n"
        "    roi_head=dict(shared_head=dict(type='ResLayer', depth=50, stage=3)),\n)\n"
    )
    report = convert_backbone(resnet50, tmp_path / "out.pth", "mmdet", config=str(config))
    assert report.checked == {f"the backbone of {config}": 215, f"the shared head of {config}": 50}
    # A head of another depth is refused although the backbone fits.
    config.write_text(config.read_text().replace("'ResLayer', depth=50", "'ResLayer', depth=18"))
    with pytest.raises(BackboneMismatchError, match="does not fit the shared head.*layer4.0.conv1.weight is"):
        convert_backbone(resnet50, tmp_path / "other.pth", "mmdet", config=str(config))
    assert not (tmp_path / "other.pth").exists()


@pytest.mark.slow
def test_names_that_the_model_does_not_read_are_found(tmp_path, resnet50):
    """mmaction2 inflates from torchvision's names; with its own 2-D names it would leave all of I3D random."""
    with pytest.raises(
        BackboneMismatchError, match="I3D|i3d_ucf101.py was told to load .* but does not bear its weights"
    ):
        convert_backbone(resnet50, tmp_path / "out.pth", "mmaction2", config=str(recipe_path("i3d_ucf101.py")))
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.slow
def test_another_kind_of_network_is_taken_if_a_config_has_it(tmp_path):
    net = tiny.build("mmpretrain", 50, type="SEResNet")
    config = tmp_path / "se.py"
    config.write_text("default_scope = 'mmpretrain'\nmodel = dict(backbone=dict(type='SEResNet', depth=50))\n")
    source = tiny.save(tiny.randomise(net), "mmpretrain", tmp_path / "a.pth")
    report = convert_backbone(source, tmp_path / "out.pth", "mmpretrain", config=str(config))
    assert report.architecture is None
    assert sum(report.checked.values()) == sum("num_batches" not in name for name in net.state_dict())


def test_what_cannot_be_checked_is_said(tmp_path):
    with pytest.raises(ValueError, match="torchvision.models has no resnet19"):
        check_config("torchvision.resnet19", tmp_path / "a.pth", {}, "a.pth")
    with pytest.raises(FileNotFoundError):
        check_config(str(tmp_path / "none.py"), tmp_path / "a.pth", {}, "a.pth")
    (tmp_path / "gan.py").write_text("model = dict(type='X')\n")
    with pytest.raises(ValueError, match="gan.py has no model.backbone to check"):
        check_config(str(tmp_path / "gan.py"), tmp_path / "a.pth", {}, "a.pth")
