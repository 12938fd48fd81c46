"""``nda_mm.OffModes`` and ``nda_mm.RuleBreaks`` in mmagic's own evaluator, against counting by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from mmengine import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.compat import apply_patches
from nda_mm.evaluation import OffModes, RuleBreaks
from nda_mm.evaluation.feature_networks import FeatureNetwork, Judgement
from nda_mm.evaluation.generator_metric import GeneratorMetric
from nda_mm.generation import sample_images
from nda_mm.registry import METRICS
from nda_mm.utils.files import recipe_path

apply_patches()
pytest.importorskip("mmagic.models")
pytest.importorskip("sklearn")


def build(recipe: str, **data: object) -> tuple[nn.Module, DataLoader]:
    from mmagic.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    config = Config.fromfile(recipe_path(recipe))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = MODELS.build(config.model)
        dataset = DATASETS.build({**config.val_dataloader.dataset, **data})
    return model.eval(), DataLoader(dataset, batch_size=16, collate_fn=pseudo_collate)


def evaluate(metric: GeneratorMetric, gan: nn.Module, loader: DataLoader) -> dict[str, float]:
    """As mmagic's loop does it, with mmagic's own evaluator."""
    from mmagic.evaluation.evaluator import Evaluator

    evaluator = Evaluator([metric])
    evaluator.prepare_metrics(gan, loader)
    assert all(len(sampler) == 0 for _, sampler in evaluator.prepare_samplers(gan, loader))
    return evaluator.evaluate()


class TestOffModes:
    @pytest.mark.parametrize("which", ["ema", "orig"])
    def test_equals_counting(self, which: str) -> None:
        gan, loader = build("toy_gaussians.py", num_points=500)
        for generator, factor in ((gan.generator, 2.5), (gan.generator_ema, 2.0)):
            for parameter in generator.parameters():
                parameter.data.mul_(factor)  # the two differ, and reach the ring
        metric = OffModes(fake_nums=300, within=6.0, sample_model=which, batch_size=64)
        state, before = torch.get_rng_state(), copy.deepcopy(gan.state_dict())
        found = evaluate(metric, gan, loader)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())

        generator = gan.generator_ema.module if which == "ema" else gan.generator
        noise = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
        centres = [(math.cos(math.pi * k / 4), math.sin(math.pi * k / 4)) for k in range(8)]
        outside = sum(
            min(math.dist(point, centre) for centre in centres) > 0.3
            for point in generator(noise).detach().reshape(-1, 2).tolist()
        )
        assert found["points/outside"] == pytest.approx(outside / 300)
        assert 0 < outside < 300
        real = loader.dataset
        points = [real.get_data_info(index)["gt"].reshape(2).tolist() for index in range(300)]
        real_outside = sum(min(math.dist(point, centre) for centre in centres) > 0.3 for point in points)
        assert found["points/outside_real"] == pytest.approx(real_outside / 300)
        assert found["points/modes"] in range(9)
        assert metric.protocol().startswith("outside: farther than 6 deviations from every centre; 300 samples of ")
        assert metric.evaluate() == found

    def test_another_data_set_is_refused(self) -> None:
        gan, _ = build("toy_gaussians.py", num_points=20)
        with pytest.raises(TypeError, match=r"knows its centres .* nda_mm.ToyGaussians, but got TensorDataset"):
            OffModes(fake_nums=10).prepare(gan, DataLoader(torch.utils.data.TensorDataset(torch.zeros(4, 2))))

    def test_it_needs_a_prefix_in_place_of_a_network(self) -> None:
        with pytest.raises(ValueError, match="OffModes has no network to be named after: give it a prefix"):
            METRICS.build(dict(type="OffModes", fake_nums=10, prefix=""))
        with pytest.raises(RuntimeError, match="OffModes has no network"):
            _ = OffModes(fake_nums=10).network


class Inkwell(FeatureNetwork):
    """Reads the class 0, 1 or 2 of how bright an image is."""

    def __init__(self, bounds: tuple[float, float]) -> None:
        super().__init__("ink", "mean brightness")
        self.bounds = torch.tensor(bounds)

    def forward(self, images: Tensor) -> Judgement:
        mean = images.float().mean(dim=(1, 2, 3))
        read = (mean[:, None] > self.bounds).sum(dim=1)
        return Judgement(mean[:, None], nn.functional.one_hot(read, 3).float())


class TestRuleBreaks:
    def test_equals_counting_in_generated_and_in_real_images(self) -> None:
        gan, loader = build("numerosity_digits.py", num_images=60)
        noise = torch.randn(100, 32, generator=torch.Generator().manual_seed(0))
        made = sample_images(gan, noise, torch.zeros(100, dtype=torch.long)).float().mean(dim=(1, 2, 3))
        real = torch.from_numpy(loader.dataset.images).float().mean(dim=(1, 2, 3))
        every = torch.cat([made, real]).sort().values
        bounds = (every[40].item(), every[130].item())

        def share_of_class_1(values: Tensor) -> float:
            return ((values > bounds[0]) & (values <= bounds[1])).double().mean().item()

        metric = RuleBreaks(Inkwell(bounds), fake_nums=100, valid=[1])
        found = evaluate(metric, gan, loader)
        assert found == {
            "ink/rule_broken": pytest.approx(1 - share_of_class_1(made)),
            "ink/rule_broken_real": pytest.approx(1 - share_of_class_1(real)),
        }
        low, high = (made <= bounds[0]).double().mean().item(), (made > bounds[1]).double().mean().item()
        assert f"valid [1]; read 0: {low:.3f}, 1: {share_of_class_1(made):.3f}, 2: {high:.3f}" in metric.protocol()
        both = evaluate(RuleBreaks(Inkwell(bounds), fake_nums=100, valid=[2, 0]), gan, loader)
        assert both["ink/rule_broken"] == pytest.approx(share_of_class_1(made))

    def test_bad_classes_are_refused(self) -> None:
        with pytest.raises(ValueError, match="valid must name the classes that obey the rule, but is empty"):
            RuleBreaks(Inkwell((0, 1)), fake_nums=10, valid=[])
        gan, loader = build("numerosity_digits.py", num_images=16)
        with pytest.raises(ValueError, match=r"valid=\[3\], but ink has the classes 0 to 2"):
            RuleBreaks(Inkwell((0, 1)), fake_nums=10, valid=[3]).prepare(gan, loader)
