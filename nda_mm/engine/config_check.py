"""Settings that are easily mistyped and cost a run, checked before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from nda_mm.registry import MODELS, SCOPE

#: Keys that take integers of at least 1, wherever they occur.
_COUNTS = ("discriminator_steps", "generator_steps", "val_interval")
#: Words for True or False that are strings in a config, and so count as True.
_SWITCH_WORDS = ("yes", "no", "on", "off", "true", "false")


def check_config(cfg: Config) -> None:
    """Refuse counts and intervals that are not integers of at least 1, and strings instead of True or False.

    Args:
        cfg: A config for training.

    Raises:
        ValueError: If there are any; the message names each by its key.

    Example:
        >>> check_config(Config(dict(train_cfg=dict(max_iters=100, val_interval=0))))
        Traceback (most recent call last):
        ...
        ValueError: train_cfg.val_interval must be an integer of at least 1, but got 0.
    """
    wrong = list(_wrong_values(cfg.to_dict()))
    if wrong:
        raise ValueError("\n".join(wrong))


def _wrong_values(node: Any, parent: str = "") -> Iterator[str]:
    if not isinstance(node, (dict, list, tuple)):
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        here = f"{parent}.{key}" if parent else str(key)
        if key in _COUNTS and not _is_count(value):
            yield f"{here} must be an integer of at least 1, but got {value!r}."
        elif isinstance(key, str) and isinstance(value, str) and value.lower() in _SWITCH_WORDS:
            yield f"{here} must be True or False, but got the string {value!r}, which would count as True."
        yield from _wrong_values(value, here)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def check_model_name(model: Any) -> None:
    """Refuse a model with our prefix, or an NDA name without it, that does not exist.

    Args:
        model: The config's ``model``.

    Raises:
        ValueError: If there is no such model; the message lists the GANs with negatives.

    Example:
        >>> check_model_name(dict(type="BigGAN"))
    """
    kind = model.get("type") if isinstance(model, dict) else None
    if not isinstance(kind, str):
        return
    prefix, _, name = kind.rpartition(".")
    ours = prefix == SCOPE or (not prefix and name.startswith("NDA"))
    if ours and MODELS.get(f"{SCOPE}.{name}") is None:
        raise ValueError(
            f"model.type must exist, but got {kind!r}. The GANs with negatives are "
            f"{', '.join(f'{SCOPE}.{each}' for each in gan_names()) or 'missing, since mmagic does not load'}; "
            "`python -m nda_mm.compat` reports which frameworks load."
        )
    if ours and not prefix:
        raise ValueError(f"model.type={kind!r} lacks its prefix: write '{SCOPE}.{kind}'.")


def gan_names() -> list[str]:
    """Return the names of the GANs with negatives, without the prefix; only those whose host loads."""
    MODELS.import_from_location()
    return sorted(name for name in MODELS.module_dict if name.startswith("NDA") and not name.endswith("Loss"))
