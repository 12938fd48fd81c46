"""The answer to a model of ours that there is not."""

from __future__ import annotations

from typing import Any

from nda_mm.registry import MODELS, SCOPE

__all__ = ["check_model_name", "gan_names"]


def gan_names() -> list[str]:
    """The GANs with negatives, as a config names them without the prefix; only those whose host loads."""
    MODELS.import_from_location()
    return sorted(name for name in MODELS.module_dict if name.startswith("NDA") and not name.endswith("Loss"))


def check_model_name(model: Any) -> None:
    """Refuse a config whose model has our prefix, or an NDA name without it, and is none of ours.

    mmengine's own message says that the name is in no registry, and not what is.

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
            f"There is no model {kind!r}. The GANs with negatives are "
            f"{', '.join(f'{SCOPE}.{each}' for each in gan_names()) or 'none, since mmagic does not load'}; "
            "`python -m nda_mm.compat` says which hosts load."
        )
    if ours and not prefix:
        raise ValueError(f"model.type={kind!r} lacks the prefix by which a host finds it: write '{SCOPE}.{kind}'.")
