"""Where recipes take a backbone: the words are those of the recipes' header comments."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mmpretrain")
pytest.importorskip("mmdet")
pytest.importorskip("mmaction")

from nda_mm.studies.jobs import resolve
from nda_mm.studies.transfer import find_slot
from nda_mm.utils.files import recipe_path

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FULL_RATE = "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=1.0"


def given(*parts: str) -> tuple[str, ...]:
    """The words that name a file for parts of a model."""
    return tuple(f"model.{part}.init_cfg.{word}" for part in parts for word in ("type=Pretrained", "checkpoint=F"))


@pytest.mark.parametrize(
    ("name", "host", "required", "with_file", "without"),
    [
        ("linear_digits", None, True, ("model.backbone.init_cfg.checkpoint=F",), ()),
        ("detection_digits_scenes", "mmpretrain", False, given("backbone"), ()),
        (
            "detection_voc_c4",
            "mmdet",
            True,
            given("backbone", "roi_head.shared_head"),
            ("model.backbone.init_cfg=None", "model.roi_head.shared_head.init_cfg=None"),
        ),
        ("i3d_digits", "mmpretrain", False, ("model.backbone.pretrained=F",), ("model.backbone.pretrained=None",)),
        (
            "tsm_ucf101",
            "mmpretrain",
            False,
            ("model.backbone.pretrained=F",),
            ("model.backbone.pretrained=None", "model.backbone.pretrained2d=False"),
        ),
        # DPC's encoder takes the checkpoint itself, its backbone alone a converted file.
        ("dpc_finetune_ucf101", None, False, given("backbone"), (FULL_RATE,)),
        ("dpc_linear_digits", None, True, given("backbone"), None),
        ("resnet2d3d_ucf101", "mmaction2", False, None, (FULL_RATE,)),
    ],
)
def test_of_our_recipes(name, host, required, with_file, without):
    recipe = str(recipe_path(name))
    slot = find_slot(resolve(recipe), name)
    assert (slot.host, slot.required, slot.whole) == (host, required, name.startswith("dpc"))
    assert with_file is None or slot.options(Path("F")) == with_file
    assert without is None or slot.options(None) == without
    assert "F" in str(resolve(recipe, slot.options(Path("F"))).model.backbone.to_dict())  # mmengine can merge them
    assert "checkpoint='F'" not in str(resolve(recipe, slot.options(None)).model.backbone.to_dict())


def test_every_probe_and_detector_takes_one():
    for path in [*CONFIGS.glob("linear/*.py"), *CONFIGS.glob("detection/*.py"), *CONFIGS.glob("dpc/dpc_[fl]*.py")]:
        find_slot(resolve(str(path)), path.stem)


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("linear_digits", "default_scope=mmagic", "no pretrained backbone"),
        ("linear_digits", "custom_hooks=[]", "would train on random weights"),
        ("detection_digits_scenes", "model.backbone.init_cfg=[]", "init_cfg"),
    ],
)
def test_a_recipe_that_takes_none_is_refused(name, option, message):
    with pytest.raises(ValueError, match=message):
        find_slot(resolve(str(recipe_path(name)), [option]), name)
