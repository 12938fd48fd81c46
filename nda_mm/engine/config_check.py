"""Settings that are easily mistyped and cost a run, checked before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import CheckpointHook
from mmengine.registry import EVALUATOR, HOOKS, LOOPS, METRICS, Registry
from mmengine.runner import IterBasedTrainLoop

from .knn_hook import KNNHook

__all__ = ["check_config", "check_filename_template"]

#: Keys that take whole numbers above 0, wherever they stand.
_COUNTS = ("discriminator_steps", "generator_steps", "val_interval")
#: Words that a person may write for True or False; as strings, all of them count as True.
_SWITCH_WORDS = ("yes", "no", "on", "off", "true", "false")


def check_config(cfg: Config) -> None:
    """Refuse settings that would cost a run: steps and intervals that are no whole number above 0, strings where a
    switch is meant, and checkpoints that would be lost, never written, or chosen by a metric that there is not.

    Args:
        cfg: A config for training.

    Raises:
        ValueError: If there are any; the message names each by its place in the config.

    Example:
        >>> check_config(Config(dict(train_cfg=dict(max_iters=100, val_interval=0))))
        Traceback (most recent call last):
        ...
        ValueError: train_cfg.val_interval must be a whole number above 0, but got 0.
    """
    settings = cfg.to_dict()
    wrong = [*_wrong_values(settings), *_wrong_checkpoints(settings)]
    if wrong:
        raise ValueError("\n".join(wrong))


def check_filename_template(template: Any) -> None:
    """Refuse a ``filename_tmpl`` that gives all checkpoints of a run one name, so that each replaces the last.

    Args:
        template: The setting of a checkpoint hook.

    Raises:
        ValueError: If it has no place for the epoch or iteration.
    """
    try:
        numbered = template.format(1) != template.format(2)
    except (AttributeError, IndexError, KeyError, ValueError):
        numbered = False
    if not numbered:
        raise ValueError(
            "filename_tmpl must hold {} once, where the epoch or iteration goes, as in 'iter_{}.pth', but got "
            f"{template!r}."
        )


def _wrong_values(node: Any, place: str = "") -> Iterator[str]:
    """What the tables forbid, anywhere in a config."""
    if not isinstance(node, (dict, list, tuple)):
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        here = f"{place}.{key}" if place else str(key)
        if key in _COUNTS and not _is_count(value):
            yield f"{here} must be a whole number above 0, but got {value!r}."
        elif isinstance(key, str) and isinstance(value, str) and value.lower() in _SWITCH_WORDS:
            yield f"{here} must be True or False, but got the string {value!r}, which would count as True."
        yield from _wrong_values(value, here)


def _wrong_checkpoints(settings: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the checkpoint hooks, under whatever name they stand."""
    scope, loop = settings.get("default_scope"), settings.get("train_cfg") or {}
    loop_kind = _find(LOOPS, loop.get("type"), scope)
    by_iteration = loop.get("by_epoch") is False if loop_kind is None else issubclass(loop_kind, IterBasedTrainLoop)
    for place, hook in _hooks(settings, CheckpointHook):
        if not _is_count(hook.get("interval", 1)):
            yield (
                f"{place}.interval must be a whole number above 0, but got {hook['interval']!r}. For a checkpoint of "
                "the end alone, set one above the length of the run."
            )
        if by_iteration and hook.get("by_epoch", True):
            yield f"{place}.by_epoch must be False: this run counts iterations, and would save at its end only."
        if hook.get("filename_tmpl") is not None:
            try:
                check_filename_template(hook["filename_tmpl"])
            except ValueError as error:
                yield f"{place}.{error}"
        wanted = hook.get("save_best") or []
        unknown = {wanted} if isinstance(wanted, str) else {*wanted}
        unknown -= {"auto"}
        known = (_metrics(settings) or []) if unknown else []
        for key in sorted(unknown) if known else ():
            if not any(key == name or (name.endswith("/") and key.startswith(name)) for name in known):
                shown = ", ".join(f"{name}..." if name.endswith("/") else name for name in known)
                yield f"{place}.save_best={key!r} is none of the metrics of this config, which are {shown}."


def _metrics(settings: dict[str, Any]) -> list[str] | None:
    """The names of the metrics, as far as a config tells them: ``'acc/'`` for all that begin so; None if it does not.

    A metric of mmengine's begins its names with its prefix, unless it has an ``evaluate`` of its own. A run without
    validation has those of :class:`~nda_mm.engine.knn_hook.KNNHook` alone.
    """
    scope, evaluator = settings.get("default_scope"), settings.get("val_evaluator")
    if isinstance(evaluator, dict) and "metrics" in evaluator:
        kind = _find(EVALUATOR, evaluator.get("type", "Evaluator"), scope)
        if kind is None or kind.evaluate is not Evaluator.evaluate:
            return None
        evaluator = evaluator["metrics"]
    if evaluator is None:
        near = [hook.get("prefix", "knn") for _, hook in _hooks(settings, KNNHook)]
        return [f"{prefix}/top{number}" for prefix in near for number in (1, 5)]
    known = []
    for metric in [evaluator] if isinstance(evaluator, dict) else evaluator:
        kind = _find(METRICS, metric.get("type"), scope)
        prefix = metric.get("prefix") or getattr(kind, "default_prefix", None)
        if kind is None or getattr(kind, "evaluate", None) is not BaseMetric.evaluate or not prefix:
            return None
        known.append(f"{prefix}/")
    return known


def _hooks(settings: dict[str, Any], wanted: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """The places and settings of all hooks of a class."""
    for key in ("default_hooks", "custom_hooks"):
        hooks = settings.get(key) or {}
        for name, hook in hooks.items() if isinstance(hooks, dict) else enumerate(hooks):
            kind = _find(HOOKS, hook.get("type"), settings.get("default_scope")) if isinstance(hook, dict) else None
            if kind is not None and issubclass(kind, wanted):
                yield f"{key}.{name}", hook


def _find(registry: Registry, kind: Any, scope: str | None) -> Any:
    """The class that a ``type`` names; None if there is none, which is said when it is built."""
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(scope) as scoped:
            kind = scoped.get(kind)
    return kind if isinstance(kind, type) else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
