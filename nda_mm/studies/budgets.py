"""What a config says of how long a training is, and of what it is besides."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["budget", "course", "generator_step", "in_words", "sample_count"]

#: What the course of a training is made of, and what of it is only its length and how often it is evaluated.
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


def budget(config: Any) -> dict[str, Any]:
    """What makes two runs equally long: iterations or epochs, batch size, steps of the two networks."""
    train, model = config.get("train_cfg") or {}, config.get("model") or {}
    loader = config.get("train_dataloader") or {}
    return dict(
        max_iters=train.get("max_iters"),
        max_epochs=train.get("max_epochs"),
        batch_size=loader.get("batch_size"),
        discriminator_steps=model.get("discriminator_steps"),
        generator_steps=model.get("generator_steps"),
    )


def course(config: Any) -> str:
    """SHA-256 of what a config says of the course of its training, which is neither its length nor its evaluation.

    Two runs of one course and seed are one run, of which the longer has gone on.
    """
    parts = {key: config.get(key) for key in _COURSE}
    parts["train_cfg"] = {key: value for key, value in (config.get("train_cfg") or {}).items() if key not in _LENGTH}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def generator_step(config: Any, step: int) -> int | None:
    """How often the generator has been updated after so many iterations, which count the discriminator's steps.

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
    """The number of samples that a recipe's metrics generate; None if they generate none, or not equally many."""
    evaluator = config.get("val_evaluator") or []
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else evaluator.get("metrics", [evaluator])
    counts = {metric["fake_nums"] for metric in metrics if "fake_nums" in metric}
    return counts.pop() if len(counts) == 1 else None


def in_words(config: Any, step: int) -> str:
    """A budget as a report states it.

    Example:
        >>> in_words(dict(model=dict(discriminator=dict(type="D"), discriminator_steps=4)), 40_000)
        '40,000 steps (10,000 of the generator)'
    """
    of_generator, samples = generator_step(config, step), sample_count(config)
    words = f"{step:,} steps"
    words += "" if of_generator is None else f" ({of_generator:,} of the generator)"
    return words + ("" if samples is None else f", measured with {samples:,} samples")
