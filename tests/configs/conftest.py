"""Recipes by name, read and built as a run does."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

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


@pytest.fixture
def build() -> Any:
    """Give ``build(name, **options)``, which makes a recipe's config and model."""

    def build(name: str, **options: Any) -> tuple[Config, Any]:
        config = read(name, **options)
        DefaultScope.get_instance(f"{name}_{id(config)}", scope_name=config.default_scope)  # for what follows, too
        return config, MODELS.build(config.model)

    return build
