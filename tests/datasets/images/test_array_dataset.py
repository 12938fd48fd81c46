"""What every data set of one array does: items, subsets, mmengine's wrappers, loader workers, channel order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset
from mmengine.registry import DefaultScope

from nda_mm.datasets import ArrayDataset

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


class Noise(ArrayDataset):
    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return IMAGES, np.arange(40) % 10


def test_an_item_is_a_copy() -> None:
    data = Noise()
    item = data[23]
    assert set(item) == {"gt", "gt_label", "sample_idx", "gt_channel_order"}
    assert (item["gt_label"], item["sample_idx"], item["gt_channel_order"]) == (3, 23, "RGB")
    before = IMAGES.copy()
    item["gt"][:] = 0
    np.testing.assert_array_equal(IMAGES, before)
    assert data[-1]["sample_idx"] == 39


def test_subsets_leave_the_rest_alone() -> None:
    data = Noise()
    assert [data.get_subset([5, 1])[i]["gt_label"] for i in range(2)] == [5, 1]
    np.testing.assert_array_equal(data.get_subset(-3).images, IMAGES[-3:])
    np.testing.assert_array_equal(Noise(indices=[2, 0], lazy_init=True)[0]["gt"], IMAGES[2])
    np.testing.assert_array_equal(Noise(every=3, indices=2).images, IMAGES[:6:3])
    kept, others = (Noise(every=every).images for every in (3, -3))
    np.testing.assert_array_equal(others, [image for number, image in enumerate(IMAGES) if number % 3])
    assert len(kept) + len(others) == len(IMAGES)
    assert len(data) == 40
    with pytest.raises(ValueError, match="indices"):
        data.get_subset_(41)
    data.get_subset_(7)
    assert len(data) == 7
    assert len(ClassBalancedDataset(data, oversample_thr=1e-3)) == 7
    assert len(ConcatDataset([data, Noise()])) == 47
    with pytest.raises(ValueError, match="every"):
        Noise(every=0)


def test_images_reach_forked_workers_whole() -> None:
    loader = torch.utils.data.DataLoader(Noise(image_key="img"), batch_size=8, num_workers=2)
    np.testing.assert_array_equal(torch.cat([batch["img"] for batch in loader]), IMAGES)


def test_mmagic_gets_the_channels_in_the_order_it_asks_for() -> None:
    pytest.importorskip("mmagic")
    from mmagic.registry import MODELS
    from mmengine.dataset import pseudo_collate

    with DefaultScope.overwrite_default_scope("mmagic"):
        data: Any = Noise(pipeline=[dict(type="PackInputs")])
        preprocessor = MODELS.build(dict(type="DataPreprocessor", output_channel_order="BGR"))
    batch = preprocessor(pseudo_collate([data[index] for index in range(4)]), training=True)
    rgb = torch.from_numpy(IMAGES[:4]).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(batch["data_samples"].gt_img, rgb.flip(1) / 127.5 - 1)
    assert batch["data_samples"].gt_label.label.flatten().tolist() == [0, 1, 2, 3]
