"""Checks for config settings that are easily mistyped and would waste a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS, LOOPS, Registry
from mmengine.runner import IterBasedTrainLoop

from nda_mm.registry import MODELS, SCOPE

#: Keys that take integers of at least 1, wherever they occur.
_COUNTS = ("discriminator_steps", "generator_steps", "val_interval")
#: Words for True or False that are strings in a config and therefore truthy.
_SWITCH_WORDS = ("yes", "no", "on", "off", "true", "false")


def check_config(cfg: Config) -> None:
    """Check a training config for settings that would waste a run.

    It finds counts and intervals that are not integers of at least 1, strings in place of True or False, and
    checkpoints that would be lost or never written.

    Args:
        cfg: A config for training.

    Raises:
        ValueError: If there are any such settings. The message lists each one by its key.

    Example:
        >>> check_config(Config(dict(train_cfg=dict(max_iters=100, val_interval=0))))
        Traceback (most recent call last):
        ...
        ValueError: train_cfg.val_interval must be an integer of at least 1, but got 0.
    """
    settings = cfg.to_dict()
    wrong = [*_wrong_values(settings), *_wrong_checkpoints(settings)]
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


def _wrong_checkpoints(settings: dict[str, Any]) -> Iterator[str]:
    scope, loop = settings.get("default_scope"), settings.get("train_cfg") or {}
    loop_class = _find(LOOPS, loop.get("type"), scope)
    by_iteration = loop.get("by_epoch") is False if loop_class is None else issubclass(loop_class, IterBasedTrainLoop)
    for place in ("default_hooks", "custom_hooks"):
        hooks = settings.get(place) or {}
        for name, hook in hooks.items() if isinstance(hooks, dict) else enumerate(hooks):
            kind = _find(HOOKS, hook.get("type"), scope) if isinstance(hook, dict) else None
            if kind is None or not issubclass(kind, CheckpointHook):
                continue
            if not _is_count(hook.get("interval", 1)):
                yield f"{place}.{name}.interval must be an integer of at least 1, but got {hook['interval']!r}."
            yield from (f"{place}.{name}.{fault}" for fault in lost_checkpoints(hook, by_iteration))


def lost_checkpoints(settings: Mapping[str, Any], by_iteration: bool) -> Iterator[str]:
    """Find settings of a checkpoint hook, mmengine's or ours, that would lose checkpoints.

    Args:
        settings: The hook's ``by_epoch`` and ``filename_tmpl``, if they are set.
        by_iteration: Whether the run counts iterations.

    Yields:
        One message per setting, starting with its key.
    """
    if by_iteration and settings.get("by_epoch", True):
        yield "by_epoch must be False: this run counts iterations, so it would save only once, at the end."
    template = settings.get("filename_tmpl")
    if template is not None and str(template).count("{}") != 1:  # else each checkpoint overwrites the previous one
        yield f"filename_tmpl must contain {{}} exactly once, as in 'iter_{{}}.pth', but got {template!r}."


def _find(registry: Registry, kind: Any, scope: str | None) -> Any:
    """Return the class that a ``type`` refers to, or None."""
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(scope) as scoped:
            kind = scoped.get(kind)
    return kind if isinstance(kind, type) else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def check_model_name(model: Any) -> None:
    """Check that a model with our prefix, or with an NDA name, exists and has the prefix.

    Args:
        model: The config's ``model``.

    Raises:
        ValueError: If there is no such model (the message lists the GANs with negatives), or it lacks the prefix.

    Example:
        >>> check_model_name(dict(type="BigGAN"))
    """
    kind = model.get("type") if isinstance(model, dict) else None
    if not isinstance(kind, str):
        return
    prefix, _, name = kind.rpartition(".")
    ours = prefix == SCOPE or (not prefix and name.startswith("NDA"))
    if ours and MODELS.get(f"{SCOPE}.{name}") is None:
        gans = sorted(each for each in MODELS.module_dict if each.startswith("NDA") and not each.endswith("Loss"))
        raise ValueError(
            f"model.type must be a registered model, but got {kind!r}. The GANs with negatives are "
            f"{', '.join(f'{SCOPE}.{each}' for each in gans) or 'unavailable, since mmagic does not load'}; "
            "`python -m nda_mm.compat` reports which frameworks load."
        )
    if ours and not prefix:
        raise ValueError(f"model.type={kind!r} is missing its prefix: write '{SCOPE}.{kind}'.")
