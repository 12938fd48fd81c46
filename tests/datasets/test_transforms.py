"""Negatives in real pipelines."""

import numpy as np
import pytest
import torch

pytest.importorskip("mmcv.transforms")

from mmcv.transforms import Compose
from mmengine.registry import DefaultScope

from nda_mm import functional as F
from nda_mm.datasets.transforms import MakeNegative

JIGSAW = dict(type="Jigsaw", grid=2)


def image(*shape, dtype=np.uint8):
    return (np.random.default_rng(0).random(shape) * 255).astype(dtype)


def test_it_is_found_by_the_prefix_in_a_pipeline_of_any_scope():
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        pipeline = Compose([dict(type="nda_mm.MakeNegative", negative=JIGSAW)])
    results = pipeline(dict(img=image(6, 4, 3)))
    assert results["img_negative"].shape == (6, 4, 3)


@pytest.mark.parametrize(("shape", "dtype"), [((6, 4, 3), np.uint8), ((6, 4), np.float32)])
def test_the_negative_is_the_functions_in_the_images_form(shape, dtype):
    source = image(*shape, dtype=dtype)
    before = source.copy()
    torch.manual_seed(4)
    results = MakeNegative(JIGSAW)(dict(img=source, gt_label=7))
    torch.manual_seed(4)
    planes = torch.from_numpy(before.reshape(6, 4, -1).transpose(2, 0, 1).copy())[None]
    expected = F.jigsaw(planes)[0].permute(1, 2, 0).numpy().reshape(shape)
    negative = results["img_negative"]
    assert np.array_equal(negative, expected)
    assert negative.dtype == dtype
    assert negative.flags.c_contiguous
    assert np.array_equal(results["img"], before)
    assert results["gt_label"] == 7


def test_a_clip_is_a_list_of_frames_changed_alike():
    frames = [image(4, 4, 3) + number for number in range(3)]
    negative = MakeNegative(JIGSAW, key="imgs", output_key="imgs")(dict(imgs=list(frames)))["imgs"]
    assert isinstance(negative, list)
    assert not np.array_equal(negative[0], frames[0])
    for number in (1, 2):
        assert np.array_equal(negative[number], negative[0] + number)
    shuffled = MakeNegative(dict(type="ShuffleFrames"), key="imgs")(dict(imgs=list(frames)))["imgs_negative"]
    order = [next(i for i, frame in enumerate(frames) if np.array_equal(frame, new)) for new in shuffled]
    assert sorted(order) == [0, 1, 2]
    assert order != [0, 1, 2]


def test_a_partner_comes_from_its_key():
    transform = MakeNegative(dict(type="Stitch"), key="gt", partner_key="mate")
    results = transform(dict(gt=np.zeros((4, 4, 3), np.uint8), mate=np.full((4, 4, 3), 9, np.uint8)))
    assert sorted(np.unique(results["gt_negative"], return_counts=True)[1]) == [24, 24]
    with pytest.raises(ValueError, match="partner_key"):
        MakeNegative(dict(type="RandomNegative", negatives=[JIGSAW, dict(type="CutMix")]))
    with pytest.raises(ValueError, match="Curriculum"):
        MakeNegative(dict(type="Curriculum", milestones=[(0, JIGSAW)]))


def test_what_is_no_image_is_refused():
    transform = MakeNegative(JIGSAW)
    for image_like in (torch.zeros(3, 4, 4), []):
        with pytest.raises(TypeError, match="'img'"):
            transform(dict(img=image_like))
