"""Samples on the modes of a mixture, against counting one by one."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from mmengine import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from small_gan import evaluate
from torch import nn
from torch.utils.data import DataLoader

from nda_mm.compat import apply_patches
from nda_mm.datasets.toy.toy_gaussians import ring_centers
from nda_mm.evaluation import HighQualityRatio, mode_coverage
from nda_mm.registry import METRICS
from nda_mm.utils.files import recipe_path

apply_patches()
pytest.importorskip("mmagic.models")

CENTERS = torch.from_numpy(ring_centers(8, 1.0))


class TestModeCoverage:
    def test_equals_counting_one_by_one(self) -> None:
        samples = 0.9 * torch.randn(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        counts = [0] * 8
        for across, up in samples.tolist():
            for mode, (x, y) in enumerate(CENTERS.tolist()):
                counts[mode] += math.hypot(across - x, up - y) <= 0.1 * 2
        found = mode_coverage(samples, CENTERS, 0.1, within=2)
        assert found.shares == pytest.approx([count / 400 for count in counts])
        assert found.ratio == pytest.approx(sum(counts) / 400)
        assert 0 < found.ratio < 1

    def test_a_dropped_mode_is_not_covered_and_what_is_not_finite_is_on_none(self) -> None:
        samples = CENTERS[torch.arange(1000) % 7]
        found = mode_coverage(samples, CENTERS, 0.05)
        assert (found.ratio, found.covered, found.shares[7]) == (1.0, 7, 0.0)
        broken = torch.cat([samples, torch.full((1000, 2), float("nan"), dtype=torch.float64)])
        assert mode_coverage(broken, CENTERS, 0.05).ratio == 0.5

    def test_bad_input_is_refused(self) -> None:
        for samples, std, name in ((torch.zeros(3, 1), 0.1, "samples"), (torch.zeros(3, 2), 0.2, "overlap")):
            with pytest.raises(ValueError, match=name):
                mode_coverage(samples, CENTERS, std)


def build(num_points: int) -> tuple[nn.Module, DataLoader]:
    from mmagic.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    config = Config.fromfile(recipe_path("toy_gaussians.py"))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = MODELS.build(config.model)
        dataset = DATASETS.build({**config.val_dataloader.dataset, "num_points": num_points})
    return model.eval(), DataLoader(dataset, batch_size=16, collate_fn=pseudo_collate)


class TestHighQualityRatio:
    def test_equals_counting_in_mmagics_evaluator(self) -> None:
        gan, loader = build(500)
        for generator, factor in ((gan.generator, 2.5), (gan.generator_ema, 2.0)):
            for parameter in generator.parameters():
                parameter.data.mul_(factor)  # the two differ, and reach the ring
        metric = HighQualityRatio(fake_nums=300, within=6.0, batch_size=64)
        state, before = torch.get_rng_state(), copy.deepcopy(gan.state_dict())
        found = evaluate(metric, gan, loader)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())

        def ratio(samples: list[list[float]]) -> float:
            return sum(min(math.dist(each, center) for center in CENTERS.tolist()) <= 0.3 for each in samples) / 300

        noise = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
        expected = ratio(gan.generator_ema.module(noise).detach().reshape(-1, 2).tolist())
        assert 0 < expected < 1
        real = [loader.dataset.get_data_info(index)["gt"].reshape(2).tolist() for index in range(300)]
        assert found["toy/high_quality_ratio"] == pytest.approx(expected)
        assert found["toy/high_quality_ratio_real"] == pytest.approx(ratio(real))

    def test_another_data_set_is_refused(self) -> None:
        gan, _ = build(20)
        with pytest.raises(TypeError, match="ToyGaussians"):
            HighQualityRatio(fake_nums=10).prepare(gan, DataLoader(torch.utils.data.TensorDataset(torch.zeros(4, 2))))

    def test_its_old_name_is_an_alias(self) -> None:
        assert isinstance(METRICS.build(dict(type="nda_mm.OffModes", fake_nums=10)), HighQualityRatio)
