"""Where a recipe takes a pretrained backbone: the overrides that give it a file, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["BackboneSlot", "find_slot"]

_CHECKS = ("nda_mm.PretrainedCheckHook", "nda_mm.VideoBackboneCheckHook")
#: Scope of a config, or of a backbone's type -> the host whose names its backbones have.
_HOSTS = {"mmpretrain": "mmpretrain", "mmdet": "mmdet", "mmaction": "mmaction2"}


@dataclass(frozen=True)
class BackboneSlot:
    """Where a recipe takes a pretrained backbone.

    Args:
        host: Whose names the file must have; None if the checkpoint of the pretraining itself is taken.
        with_file: ``K=V`` words with ``{file}`` for the file.
        without: ``K=V`` words that take away any file that the recipe names by itself.
        required: Whether the recipe refuses to train without a file.
        whole: Whether it takes all of the checkpoint's model and not its backbone alone, as ``nda_mm.DPCEncoder`` does.

    Example:
        >>> BackboneSlot(None, ("model.backbone.init_cfg.checkpoint={file}",), (), True).options(Path("a/b.pth"))
        ('model.backbone.init_cfg.checkpoint=a/b.pth',)
    """

    host: str | None
    with_file: tuple[str, ...]
    without: tuple[str, ...]
    required: bool
    whole: bool = False

    def options(self, file: Path | None) -> tuple[str, ...]:
        """The ``K=V`` words that give the recipe a file, or none."""
        return self.without if file is None else tuple(each.format(file=file) for each in self.with_file)


def find_slot(config: Any, recipe: str) -> BackboneSlot:
    """Read from a config how its backbone is pretrained, as the recipes' header comments say it.

    Args:
        config: A resolved config of mmpretrain, mmdet or mmaction2.
        recipe: What to call it in messages.

    Raises:
        ValueError: If it takes no backbone, or nothing in the recipe would notice a file that does not fit.
    """
    scope, backbone = config.get("default_scope"), (config.get("model") or {}).get("backbone")
    if scope not in _HOSTS or backbone is None:
        raise ValueError(f"{recipe} (scope {scope!r}) takes no pretrained backbone; scopes are {', '.join(_HOSTS)}")
    hooks = [hook for hook in config.get("custom_hooks") or [] if hook.get("type") in _CHECKS]
    if not hooks:
        raise ValueError(
            f"{recipe} would train on random weights if a checkpoint did not fit; add "
            f"dict(type='{_CHECKS[scope == 'mmaction']}') to its custom_hooks"
        )
    required = any(hook.get("required", False) for hook in hooks)
    if scope == "mmpretrain":
        return _classifier_slot(backbone, recipe)
    path, network = ("model.backbone.net", backbone["net"]) if "net" in backbone else ("model.backbone", backbone)
    if "pretrained" in network:  # mmaction2's own way, which reads plain names and inflates them
        without = (f"{path}.pretrained=None", *((f"{path}.pretrained2d=False",) if "TSM" in network["type"] else ()))
        return BackboneSlot("mmpretrain", (f"{path}.pretrained={{file}}",), without, required)
    parts = {path: network}
    shared_head = (config.model.get("roi_head") or {}).get("shared_head")
    if shared_head is not None:  # takes its stage from the same file
        parts["model.roi_head.shared_head"] = shared_head
    with_file: list[str] = []
    without = ()
    for part, settings in parts.items():
        init_cfg = settings.get("init_cfg", {})
        if not isinstance(init_cfg, dict) or init_cfg.get("prefix"):
            raise ValueError(
                f"{recipe}: {part}.init_cfg must be absent or dict(type='Pretrained', ...), but is {init_cfg!r}"
            )
        with_file += [f"{part}.init_cfg.type=Pretrained", f"{part}.init_cfg.checkpoint={{file}}"]
        without += (f"{part}.init_cfg=None",) if init_cfg else ()
    without += _full_rates(config)
    if network["type"] == "nda_mm.DPCEncoder":  # has the names of the pretraining
        return BackboneSlot(None, tuple(with_file), without, required, whole=True)
    inner = str(network["type"]).split(".")[0]
    return BackboneSlot(_HOSTS.get(inner, _HOSTS[scope]), tuple(with_file), without, required)


def _full_rates(config: Any) -> tuple[str, ...]:
    """What takes away the lower rate of a pretrained backbone: one from scratch has nothing to keep."""
    paramwise = (config.get("optim_wrapper") or {}).get("paramwise_cfg") or {}
    rate = ((paramwise.get("custom_keys") or {}).get("backbone") or {}).get("lr_mult", 1.0)
    return ("optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=1.0",) if rate != 1.0 else ()


def _classifier_slot(backbone: Any, recipe: str) -> BackboneSlot:
    """mmpretrain's classifiers find the backbone in the checkpoint by its prefix."""
    init_cfg = backbone.get("init_cfg")
    if not isinstance(init_cfg, dict) or init_cfg.get("type") != "Pretrained" or init_cfg.get("prefix") != "backbone.":
        raise ValueError(
            f"{recipe} takes no pretrained backbone: model.backbone.init_cfg must be "
            f"dict(type='Pretrained', checkpoint='', prefix='backbone.'), but is {init_cfg!r}"
        )
    # Without pretraining it gets a file of random weights: the recipes require one.
    return BackboneSlot(None, ("model.backbone.init_cfg.checkpoint={file}",), (), True)
