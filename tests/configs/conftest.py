"""Recipes by name, read, built, and run with little around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from nda_mm.engine import launch
from nda_mm.utils.files import recipe_path


def read(name: str, **options: Any) -> Config:
    """The config of a recipe with options set."""
    config = Config.fromfile(recipe_path(name))
    config.merge_from_dict(options)
    pytest.importorskip(config.default_scope)
    return config


@pytest.fixture(name="read")
def read_fixture() -> Any:
    """Give ``read(name, **options)``."""
    return read


def small_runner(config: Config, folder: Path, **options: Any) -> Any:
    config.merge_from_dict(options)
    config.update(work_dir=str(folder), launcher="none", log_level="WARNING")
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if config.get(name) is not None:
            config[name].update(num_workers=0, persistent_workers=False)
    return launch.build_runner(config)


@pytest.fixture(name="small_runner")
def small_runner_fixture() -> Any:
    """Give ``small_runner(config, folder, **options)``: the Runner in one process, without workers."""
    return small_runner


@pytest.fixture
def build() -> Any:
    """Give ``build(name, **options)``, which makes a recipe's config and model."""

    def build(name: str, **options: Any) -> tuple[Config, Any]:
        config = read(name, **options)
        DefaultScope.get_instance(f"{name}_{id(config)}", scope_name=config.default_scope)  # for what follows, too
        return config, MODELS.build(config.model)

    return build
