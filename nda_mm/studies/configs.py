"""What a config says about a training: its length, and whether two configs describe the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nda_mm.utils.command_line import read_settings

#: The parts of a config that decide the course of a training, and the keys of train_cfg that do not.
_COURSE = (
    "model",
    "data_preprocessor",
    "train_dataloader",
    "train_cfg",
    "optim_wrapper",
    "param_scheduler",
    "custom_hooks",
    "randomness",
    "load_from",
)
_LENGTH = ("max_iters", "max_epochs", "val_interval", "val_begin")


def resolve(recipe: str, cfg_options: Sequence[str] = ()) -> Config:
    """A recipe with its overrides, as training will see it."""
    config = Config.fromfile(recipe, import_custom_modules=False)
    config.merge_from_dict(read_settings(cfg_options))
    return config


def unique_names(recipes: Sequence[str]) -> list[str]:
    """The file names of recipes without ``.py``, which name the folders of their runs.

    Raises:
        ValueError: If there are none, or two are equal.
    """
    names = [Path(recipe).stem for recipe in recipes]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"recipes must be given and have different file names, but got {names}")
    return names


def digest(config: Any) -> str:
    """SHA-256 of a resolved config."""
    return hashlib.sha256(config.pretty_text.encode()).hexdigest()


def course(config: Any) -> str:
    """SHA-256 of what decides the course of a training, without its length and its evaluation.

    Two runs of one course and seed are the same run, trained for different times.
    """
    parts = {key: config.get(key) for key in _COURSE}
    parts["train_cfg"] = {key: value for key, value in (config.get("train_cfg") or {}).items() if key not in _LENGTH}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def budget(config: Any) -> dict[str, Any]:
    """What must be equal for two runs to be equally long: iterations or epochs, batch size, steps of both networks."""
    train, model = config.get("train_cfg") or {}, config.get("model") or {}
    loader = config.get("train_dataloader") or {}
    return dict(
        max_iters=train.get("max_iters"),
        max_epochs=train.get("max_epochs"),
        batch_size=loader.get("batch_size"),
        discriminator_steps=model.get("discriminator_steps"),
        generator_steps=model.get("generator_steps"),
    )


def length(config: Any) -> int | None:
    """Iterations or epochs of a training."""
    train = config.get("train_cfg") or {}
    return train.get("max_iters") or train.get("max_epochs")


def generator_step(config: Any, step: int) -> int | None:
    """Generator updates after so many iterations, which count discriminator steps; None without a GAN.

    Example:
        >>> generator_step(dict(model=dict(discriminator=dict(type="D"), discriminator_steps=4)), 390_000)
        97500
    """
    model = config.get("model") or {}
    if not model.get("discriminator"):
        return None
    wrapper = (config.get("optim_wrapper") or {}).get("discriminator") or {}
    updates = step // wrapper.get("accumulative_counts", 1)
    return updates // model.get("discriminator_steps", 1) * model.get("generator_steps", 1)


def sample_count(config: Any) -> int | None:
    """Samples that the metrics of a recipe generate; None if they generate none, or different numbers."""
    evaluator = config.get("val_evaluator") or []
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else evaluator.get("metrics", [evaluator])
    counts = {metric["fake_nums"] for metric in metrics if "fake_nums" in metric}
    return counts.pop() if len(counts) == 1 else None


def describe_budget(config: Any, step: int) -> str:
    """A budget as a report states it.

    Example:
        >>> describe_budget(dict(model=dict(discriminator=dict(type="D"), discriminator_steps=4)), 40_000)
        '40,000 steps (10,000 of the generator)'
    """
    of_generator, samples = generator_step(config, step), sample_count(config)
    text = f"{step:,} steps"
    text += "" if of_generator is None else f" ({of_generator:,} of the generator)"
    return text + ("" if samples is None else f", measured with {samples:,} samples")
