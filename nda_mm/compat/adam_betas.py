"""Recipes of the hosts that give Adam a whole number, which newer versions of torch refuse."""

from __future__ import annotations

from typing import Any

__all__ = ["float_betas"]


def float_betas(node: Any) -> int:
    """Make the ``betas`` of every optimizer in a config floats, in place.

    mmagic's recipes of StyleGAN2 say ``betas=(0, 0.99**ratio)``. Newer versions of torch, 2.11 among them, answer that
    with ``ValueError: betas must be either both floats or both Tensors``, before the first step. The numbers stay what
    they are.

    Args:
        node: A config's ``optim_wrapper``, or any part of it; None is passed over.

    Returns:
        How many optimizers were changed.

    Example:
        >>> config = dict(generator=dict(optimizer=dict(type="Adam", betas=(0, 0.99))))
        >>> float_betas(config), config["generator"]["optimizer"]["betas"]
        (1, (0.0, 0.99))
    """
    if not isinstance(node, dict):
        return 0
    changed = sum(float_betas(child) for child in list(node.values()))
    betas = node.get("betas")
    if isinstance(betas, (list, tuple)) and any(isinstance(beta, int) for beta in betas):
        node["betas"] = tuple(float(beta) for beta in betas)
        changed += 1
    return changed
