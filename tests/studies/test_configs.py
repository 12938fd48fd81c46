"""What configs say of the length of a training, and of its course."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from nda_mm.studies.comparison import generator_step, sample_count
from nda_mm.studies.jobs import course, resolve
from nda_mm.utils.files import recipe_path


@pytest.mark.parametrize(
    ("recipe", "steps", "samples"),
    [
        ("biggan_cifar10", 97_500, 10_000),
        ("biggan_imagenet128", 187_500, None),
        ("classifier_digits", None, None),
    ],
)
def test_budgets_of_the_recipes(recipe, steps, samples):
    config = Config.fromfile(recipe_path(recipe))
    iterations = config.train_cfg.get("max_iters", 0)
    assert generator_step(config, iterations) == steps
    assert config.get("generator_steps", steps) == steps  # what the recipe says of itself
    assert sample_count(config) == samples


def test_metrics_with_different_numbers_of_samples_have_no_one_number():
    metrics = [dict(type="A", fake_nums=500), dict(type="B", fake_nums=400), dict(type="C")]
    assert sample_count(dict(val_evaluator=dict(metrics=metrics))) is None
    assert sample_count(dict(val_evaluator=metrics[1:])) == 400


def test_the_course_is_neither_the_length_nor_the_evaluation():
    recipe = str(recipe_path("nda_biggan_digits"))
    own = course(resolve(recipe))
    length = ["train_cfg.max_iters=9", "train_cfg.val_interval=3", "generator_steps=9", "val_evaluator=None"]
    assert course(resolve(recipe, [*length, "default_hooks.checkpoint.interval=7"])) == own
    for change in (
        "optim_wrapper.generator.optimizer.lr=0.1",
        "train_cfg.type=IterBasedTrainLoop",
        "train_dataloader.batch_size=2",
        "model.fake_weight=0.3",
        "randomness.deterministic=True",
    ):
        assert course(resolve(recipe, [change])) != own
