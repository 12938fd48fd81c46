"""Scores of single images, against the metric's own path and the definition of a p-value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

pytest.importorskip("mmagic")

from nda_mm.evaluation.image_scores import conformal_p_values, rank_images, score_images
from nda_mm.evaluation.metrics.discriminator_scores import anomaly_scores, scoring
from nda_mm.models.gans.sampling import as_rgb, from_rgb
from nda_mm.utils.files import recipe_path


def test_images_are_scored_as_training_sees_them() -> None:
    config = Config.fromfile(recipe_path("nda_biggan_digits"))
    config.model.data_preprocessor.output_channel_order = "BGR"
    DefaultScope.get_instance("image_scores", scope_name="mmagic")
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    data = DATASETS.build(dict(config.train_dataloader.dataset, indices=7))
    data.images = np.random.default_rng(0).integers(0, 256, data.images.shape, dtype=np.uint8)  # digits are gray
    items = [data[index] for index in range(7)]
    batch = dict(inputs=[item["inputs"] for item in items], data_samples=[item["data_samples"] for item in items])
    seen = model.data_preprocessor(batch, True)["data_samples"].gt_img
    pixels = torch.from_numpy(data.images).permute(0, 3, 1, 2)
    torch.testing.assert_close(from_rgb(model.data_preprocessor, pixels), seen)
    assert torch.equal(as_rgb(model.data_preprocessor, seen), pixels)
    with scoring(model) as discriminator:
        expected = anomaly_scores(discriminator, seen)
    found = score_images(model, data.images, batch_size=3)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


def test_p_values_count_normal_scores_as_high() -> None:
    draw = np.random.default_rng(0)
    normal, scores = draw.integers(0, 9, 40).astype(float), draw.integers(-2, 12, 30).astype(float)
    expected = [(1 + sum(each >= score for each in normal)) / 41 for score in scores]
    assert conformal_p_values(normal, scores).tolist() == expected


def test_the_most_anomalous_image_comes_first() -> None:
    table = rank_images(["a", "b", "c"], np.array([1.0, 3.0, 1.0]), np.array([0.0, 2.0]))
    assert table["file"].tolist() == ["b", "a", "c"]
    assert table.index.tolist() == [1, 0, 2]
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["p_value"].tolist() == [1 / 3, 2 / 3, 2 / 3]
