"""Whether weights fit and have arrived: backbones, configs' own loading, and 2-D files in video networks."""

from __future__ import annotations

import pytest
import tiny_backbones as tiny
import torch
from mmengine.config import Config

from nda_mm.conversion import BackboneMismatchError, convert_backbone
from nda_mm.conversion.checks import check_config, plain_state, require_carried, require_fit
from nda_mm.utils.files import recipe_path


@pytest.fixture(scope="module")
def resnet18():
    return plain_state(tiny.randomize(tiny.build("mmpretrain", 18)))


@pytest.mark.parametrize(
    ("weights", "model", "message"),
    [
        # Every tensor of ResNet-18 has its like in ResNet-34, so that a lenient load complains of nothing missing.
        (dict(depth=34), dict(depth=18), r"ResNet-34 .*ResNet-18 \(7x7 stem, width 64\); 80 unexpected \(layer1.2."),
        (dict(depth=50, type="ResNetV1c"), dict(depth=50), "deep stem, width 64.*7x7 stem, width 64.*missing .conv1."),
    ],
)
def test_another_network_is_refused_with_both_named(weights, model, message):
    with pytest.raises(BackboneMismatchError, match=message):
        require_fit(
            tiny.build("mmpretrain", **model), plain_state(tiny.build("mmpretrain", **weights)), source="a", target="b"
        )


def test_a_stage_that_the_model_lacks_is_unused(resnet18):
    stages = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    three, head = tiny.build("mmdet", 18, **stages), tiny.build("mmdet", 18, type="ResLayer", stage=3)
    fourth = {name for name in resnet18 if name.startswith("layer4.")}
    assert set(require_fit(three, resnet18, source="a.pth", target="it")) == fourth
    assert set(require_fit(head, resnet18, source="a.pth", target="it")) == resnet18.keys() - fourth


def test_one_layer_left_random_is_found(resnet18):
    model = tiny.randomize(tiny.build("mmaction2", 18))
    assert require_carried(model, resnet18, source="a.pth", target="it") == 100
    model.state_dict()["layer3.1.conv2.bn.running_var"][-1] += 0.01
    with pytest.raises(BackboneMismatchError, match=r"a\.pth: 1 of 100 tensors differ \(layer3.1.bn2.running_var\)"):
        require_carried(model, resnet18, source="a.pth", target="it")


@pytest.mark.parametrize("recipe", ["tsm_digits", "i3d_digits"])
def test_the_digits_recipes_take_the_small_backbone(tmp_path, recipe, capsys):
    small = tiny.save(tiny.randomize(tiny.build("mmpretrain", **tiny.SMALL)), "mmpretrain", tmp_path / "moco.pth")
    report = convert_backbone(small, tmp_path / "out.pth", "mmpretrain", config=str(recipe_path(recipe)))
    assert list(report.checked.values()) == [100]
    assert f"checked   the backbone of {recipe_path(recipe)} holds 100 of 100 tensors" in str(report)
    printed = capsys.readouterr()
    assert not printed.out and "load model from" not in printed.err  # the report is what there is to read


@pytest.mark.slow
def test_a_video_recipe_takes_a_resnet50_by_the_names_that_it_reads(tmp_path):
    """mmaction2 inflates from torchvision's names; with its own 2-D names it would leave all of I3D random."""
    resnet50 = tiny.save(tiny.randomize(tiny.build("torchvision", 50)), "torchvision", tmp_path / "r50.pth")
    recipe = str(recipe_path("i3d_ucf101.py"))
    with pytest.raises(BackboneMismatchError, match=r"i3d_ucf101.py does not hold the weights of"):
        convert_backbone(resnet50, tmp_path / "out.pth", "mmaction2", config=recipe)
    assert not (tmp_path / "out.pth").exists()
    report = convert_backbone(resnet50, tmp_path / "out.pth", "torchvision", config=recipe)
    assert list(report.checked.values()) == [265]


def test_a_config_without_a_backbone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="resnet19"):
        check_config("torchvision.resnet19", tmp_path / "a.pth", {}, "a.pth")
    (tmp_path / "gan.py").write_text("model = dict(type='X')\n")
    with pytest.raises(ValueError, match="gan.py has no model.backbone"):
        check_config(str(tmp_path / "gan.py"), tmp_path / "a.pth", {}, "a.pth")


def test_the_small_backbone_of_the_digits_is_inflated_kernel_by_kernel(tmp_path):
    flat = tiny.randomize(tiny.build("mmpretrain", **tiny.SMALL))
    torch.save(flat.state_dict(), tmp_path / "small.pth")
    settings = Config.fromfile(recipe_path("i3d_digits.py")).model.backbone.to_dict()
    settings.update(pretrained=str(tmp_path / "small.pth"), temporal_strides=(1, 1, 1, 1))
    inflated = tiny.build("mmaction2", **settings)
    inflated.init_weights()
    picture = tiny.images(batch=1, size=16)
    expected = tiny.features(flat, picture)
    still = picture[:, :, None].expand(-1, -1, 37, -1, -1).contiguous()
    clip = tiny.features(inflated, still)  # 17 kernels of three and one of the shortcuts' own
    scale = expected.abs().max()
    torch.testing.assert_close(clip[:, :, 18] / scale, expected / scale, rtol=0, atol=1e-5)
