"""What configs say of the length of a training, and of its course."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from nda_mm.studies.budgets import course, generator_step, in_words, sample_count
from nda_mm.utils.files import recipe_path


@pytest.mark.parametrize(
    ("recipe", "steps", "samples"),
    [
        ("biggan_cifar10", 97_500, 10_000),
        ("biggan_digits", 2_500, 1_000),
        ("biggan_imagenet128", 187_500, None),
        ("classifier_digits", None, None),
        ("toy_gaussians", 1_500, 10_000),
    ],
)
def test_budgets_of_the_recipes(recipe, steps, samples):
    config = Config.fromfile(recipe_path(f"{recipe}.py"))
    iterations = config.train_cfg.get("max_iters", 0)
    assert generator_step(config, iterations) == steps
    assert config.get("generator_steps", steps) == steps  # what the recipe says of itself
    assert sample_count(config) == samples


def test_metrics_with_different_numbers_of_samples_have_no_one_number():
    metrics = [dict(type="A", fake_nums=500), dict(type="B", fake_nums=400), dict(type="C")]
    assert sample_count(dict(val_evaluator=dict(metrics=metrics))) is None
    assert sample_count(dict(val_evaluator=metrics[1:])) == 400
    assert sample_count(dict(val_evaluator=metrics[0])) == 500
    assert sample_count({}) is None


def test_a_budget_in_words():
    config = Config.fromfile(recipe_path("nda_biggan_cifar10.py"))
    assert in_words(config, 40_002) == "40,002 steps (10,000 of the generator), measured with 10,000 samples"
    assert in_words(Config.fromfile(recipe_path("classifier_cifar10.py")), 30) == "30 steps"


def test_the_course_is_neither_the_length_nor_the_evaluation():
    def config(**options):
        config = Config.fromfile(recipe_path("nda_biggan_digits.py"))
        config.merge_from_dict({key.replace("__", "."): value for key, value in options.items()})
        return config

    same = config(train_cfg__max_iters=9, train_cfg__val_interval=3, generator_steps=9, val_evaluator=None)
    same.default_hooks.checkpoint.interval = 7
    assert course(same) == course(config())
    for changed in (
        config(optim_wrapper__generator__optimizer__lr=0.1),
        config(train_cfg__type="IterBasedTrainLoop"),
        config(train_dataloader__batch_size=2),
        config(model__fake_weight=0.3),
        config(randomness__deterministic=True),
    ):
        assert course(changed) != course(config())
