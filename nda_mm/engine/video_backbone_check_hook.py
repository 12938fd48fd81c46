"""Refuses to train a recogniser on a backbone that only seems to be pretrained."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from nda_mm.checkpoints import read_checkpoint
from nda_mm.conversion.architecture import is_resnet_name
from nda_mm.conversion.fit import require_carried, require_fit
from nda_mm.conversion.formats import find_backbone, weights_of
from nda_mm.conversion.names import to_plain
from nda_mm.registry import HOOKS


@HOOKS.register_module()
class VideoBackboneCheckHook(Hook):
    """Stop before training if the backbone does not bear the weights that the config names.

    :class:`~nda_mm.engine.pretrained_check_hook.PretrainedCheckHook` compares names, which serves ``init_cfg``.
    mmaction2 has a second way, ``pretrained=...``, by which a 2-D file also fills networks whose layers have other
    names (ResNet, ResNetTSM) or other shapes (ResNet3d, inflated). What doesn't fit is there passed over with a line in
    the log, too. This hook serves both ways: before anything is loaded it compares the architectures, and afterwards
    the values, those of inflated kernels summed over time. The whole of ``nda_mm.DPCEncoder``, aggregator and all, is
    held against the checkpoint of a pretraining by ``nda_mm.DPC``, whose predictor is left out.

    A backbone for which no file is named is trained from scratch, with a warning in the log. A run that is resumed, or
    starts from ``load_from``, has weights of its own and is passed over.

    Raises:
        FileNotFoundError: Before training, if the file is not there.
        BackboneMismatchError: If it is another network's, or did not arrive.
        BrokenCheckpointError: If it is damaged, or would run code.
        ValueError: If ``pretrained`` names a file with mmaction2's names, which that way does not read.

    Example:
        >>> VideoBackboneCheckHook().priority
        'VERY_HIGH'
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._expected: list[tuple[str, str, dict[str, torch.Tensor]]] = []

    def before_run(self, runner: Runner) -> None:
        """Read what is named and compare architectures, before mmengine loads anything."""
        self._expected = []
        if runner._resume or runner._load_from:
            return
        backbone = _backbone(runner)
        for name, part in backbone.named_modules(prefix="backbone"):
            file, prefix = _named_file(part)
            if file is None:
                continue
            weights = _read(file, prefix, part)
            require_fit(part, weights, source=file, target=name)
            self._expected.append((name, file, weights))
        if not self._expected:
            runner.logger.warning("No pretrained file is named for the backbone, which is trained from scratch.")

    def before_train(self, runner: Runner) -> None:
        """Compare values, after all has been loaded."""
        expected, self._expected = self._expected, []
        parts = dict(_backbone(runner).named_modules(prefix="backbone"))
        for name, file, weights in expected:
            count = require_carried(parts[name], weights, source=file, target=name)
            runner.logger.info(f"{name} bears all {count} tensors of {file}.")


def _backbone(runner: Runner) -> nn.Module:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.backbone


def _named_file(part: nn.Module) -> tuple[str | None, str | None]:
    """The file that a module was told to load, and the prefix of its names there."""
    pretrained = getattr(part, "pretrained", None)
    if isinstance(pretrained, str):
        return pretrained, None
    settings: Any = getattr(part, "init_cfg", None) or []
    for entry in [settings] if isinstance(settings, dict) else settings:
        if entry.get("type") == "Pretrained":
            return entry["checkpoint"], entry.get("prefix")
    return None, None


def _read(file: str, prefix: str | None, part: nn.Module) -> dict[str, torch.Tensor]:
    if "://" in file:  # mmengine fetches and keeps it
        content = CheckpointLoader.load_checkpoint(file, map_location="cpu")
    else:
        content = read_checkpoint(file, needed=())
    weights = weights_of(content, file)
    if prefix:
        start = f"{prefix.rstrip('.')}."
        weights = {name[len(start) :]: value for name, value in weights.items() if name.startswith(start)}
    elif getattr(part, "pretrained", None) and getattr(part, "pretrained2d", True):
        foreign = next((name for name in weights if to_plain(name) != name), None)
        if foreign is not None:
            raise ValueError(
                f"pretrained={file!r} has mmaction2's own names ({foreign}), which are for init_cfg; `pretrained` "
                "reads torchvision's. Convert with tools/convert_backbone.py --to torchvision."
            )
    if any(name in weights and not is_resnet_name(to_plain(name)) for name in part.state_dict()):
        return weights  # nda_mm.DPCEncoder: the pretraining's own names, and more in it than one ResNet
    return find_backbone(weights, where=file).weights
